//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"momentum/internal/fetch/fetchtest"
	"momentum/internal/smalldisk"
)

// together starts some downloads at once, all of which must end well after one request for the
// file.
func together(ctx context.Context, d *downloading, s *fetchtest.Server,
	random *rand.Rand) (outcome, reason string, err error) {
	var all []*process
	for number := range 2 + random.IntN(3) {
		p, err := d.start(ctx, number)
		if err != nil {
			return "", "", err
		}
		all = append(all, p)
	}
	for _, p := range all {
		<-p.ended
	}
	for _, p := range all {
		if outcome, reason = d.judge(p.end()); outcome != recovered {
			return outcome, reason, ctx.Err()
		}
	}
	if asked := s.Ranges(); again(asked[1:], 1) {
		return wrong, fmt.Sprintf("%d downloads at once make the requests %q", len(all), asked), nil
	}
	return recovered, "", nil
}

// again reports whether one of some requests is for bytes before those from a position on.
func again(ranges []string, from int64) bool {
	for _, text := range ranges {
		var first int64
		fmt.Sscanf(text, "bytes=%d-", &first) // an error leaves 0: a request for everything
		if first < from {
			return true
		}
	}
	return false
}

// repeats is what is wrong with such requests where so many bytes are there.
func repeats(requests []string, have int64) string {
	return fmt.Sprintf("%d bytes are there, and the requests are %q", have, requests)
}

// killedDownload kills a download up to three times, when a share of the file is there or when it
// is being unpacked, and starts it again. No byte that is there may be asked for again.
func killedDownload(ctx context.Context, d *downloading, s *fetchtest.Server,
	random *rand.Rand) (outcome, reason string, err error) {
	for kills := 1 + random.IntN(3); ; kills-- {
		have, asked := d.size(), len(s.Ranges())
		enough := 1 + random.Int64N(int64(len(d.tarball))*5/4)
		p, err := d.start(ctx, 0)
		if err != nil {
			return "", "", err
		}
		if kills > 0 {
			d.kill(p, enough)
		}
		status, stderr := p.end()
		switch requests := s.Ranges()[asked:]; {
		case ctx.Err() != nil:
			return "", "", ctx.Err()
		case again(requests, have):
			return wrong, repeats(requests, have), nil
		case kills > 0 && p.killed && status == -1 && !p.hung:
			continue
		}
		outcome, reason = d.judge(status, stderr)
		return outcome, reason, nil
	}
}

// size is the number of bytes of the tarball that are there.
func (d *downloading) size() int64 {
	path := filepath.Join(d.data, d.set.Tarball)
	for _, path := range []string{path, path + ".part"} {
		if info, err := os.Stat(path); err == nil {
			return info.Size()
		}
	}
	return 0
}

// kill kills a download that has so many bytes, or unpacks them.
func (d *downloading) kill(p *process, enough int64) {
	for d.size() < enough {
		if _, err := os.Stat(filepath.Join(d.data, d.set.Folder+".partial")); err == nil {
			break
		}
		select {
		case <-p.ended:
			return
		case <-time.After(200 * time.Microsecond):
		}
	}
	p.killed = p.Process.Kill() == nil
}

// errNoDisk says that a case needs a small disk.
var errNoDisk = errors.New("left out")

// onSmallDisk downloads to a disk of 1 MB with room for a part of the tarball and its files, and
// again when there is room for all. It returns errNoDisk where no such disk can be made.
func onSmallDisk(ctx context.Context, d *downloading, s *fetchtest.Server,
	random *rand.Rand) (outcome, reason string, err error) {
	disk, unmount, err := smalldisk.Mount("1m")
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", errNoDisk, err)
	}
	defer func() { err = errors.Join(err, unmount()) }()
	d.data = filepath.Join(disk, "data")
	d.order.Dir, d.names = d.data, []string{"no space left on device"}
	ballast := filepath.Join(disk, "ballast")
	os.WriteFile(ballast, make([]byte, 1<<20), 0o666) // leaves what fits
	info, err := os.Stat(ballast)
	if err != nil {
		return "", "", err
	}
	free := random.Int64N(2 * int64(len(d.tarball)))
	if err := os.Truncate(ballast, max(0, info.Size()-free)); err != nil {
		return "", "", err
	}
	if outcome, reason, err = d.once(ctx); err != nil || outcome != refused {
		return outcome, reason, err
	}
	have, asked := d.size(), len(s.Ranges())
	if err := os.Remove(ballast); err != nil {
		return "", "", err
	}
	outcome, reason, err = d.once(ctx)
	if requests := s.Ranges()[asked:]; err == nil && again(requests, have) {
		return wrong, repeats(requests, have), nil
	}
	return outcome, reason, err
}
