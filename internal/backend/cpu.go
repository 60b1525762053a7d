package backend

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"momentum/internal/durable"
	"momentum/internal/lockfile"
)

// installCPU returns the path of a build's plugin, which it installs if it is missing or damaged.
func (m machine) installCPU(ctx context.Context, c build, o Options) (plugin string, err error) {
	plugin = filepath.Join(o.CacheDir, c.plugin)
	if sum, err := durable.SHA256(plugin); err == nil && sum == c.pluginSHA256 {
		return plugin, nil // without a lock, for cache folders that cannot be written
	}
	lock, err := lockCache(ctx, plugin, o)
	if err != nil {
		return "", err
	}
	defer lock.Release()

	sum, err := durable.SHA256(plugin)
	switch {
	case err == nil && sum == c.pluginSHA256:
		return plugin, nil // another process has just installed it
	case err == nil:
		fmt.Fprintf(o.Out, "%s is damaged and is installed again\n", plugin)
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	file, err := m.fetchWheel(ctx, c.wheel, o.CacheDir, "XLA for the CPU", o)
	if err != nil {
		return "", err
	}
	if err := unpack(file, c.member, plugin, c.pluginSHA256); err != nil {
		return "", err
	}
	return plugin, os.Remove(file)
}

// lockCache creates the cache folder and takes the lock for installing path in it.
func lockCache(ctx context.Context, path string, o Options) (*lockfile.Lock, error) {
	if err := os.MkdirAll(o.CacheDir, 0o777); err != nil {
		return nil, fmt.Errorf("%w: XDG_CACHE_HOME names another folder for caches", err)
	}
	lock, err := lockfile.Wait(ctx, path+".lock", func(h lockfile.Holder) {
		fmt.Fprintf(o.Out, "waiting for %s, which is installing %s\n", h, filepath.Base(path))
	})
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: XDG_CACHE_HOME names another folder for caches", err)
	}
	return lock, err
}

// unpack copies the member of a wheel to target, completely and with the given SHA-256 or not at
// all. The caller holds the lock for target.
func unpack(wheel, member, target, sum string) error {
	r, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("%s: %w", wheel, err)
	}
	defer r.Close()
	in, err := r.Open(member)
	if err != nil {
		return fmt.Errorf("%s: %w", wheel, err)
	}
	defer in.Close()
	tmp := target + ".tmp" // a fixed name, so that killed processes leave one file at most
	out, err := os.Create(tmp)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	defer out.Close()
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, hash), in); err != nil {
		return fmt.Errorf("%s: %s: %w", wheel, member, err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != sum {
		return fmt.Errorf("%s: %s: SHA-256 %s, want %s", wheel, member, got, sum)
	}
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, target)
}
