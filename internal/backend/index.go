package backend

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/gomlx/go-xla/installer"
)

// errUnavailable is wrapped when a plugin is not on this machine and cannot be fetched.
var errUnavailable = errors.New("the package index cannot be reached")

// ask requests a package's description from the Python Package Index, and repeats a failed request
// once. A request cannot be interrupted: when ctx or the machine's patience ends, ask returns and
// the answer is dropped.
func (m machine) ask(ctx context.Context, pkg string) (*installer.PipPackageInfo, error) {
	type answer struct {
		info *installer.PipPackageInfo
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		info, err := m.index(pkg)
		if err != nil {
			time.Sleep(m.pause)
			info, err = m.index(pkg)
		}
		answers <- answer{info, err}
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(m.patience):
		return nil, fmt.Errorf("%w: no answer within %v", errUnavailable, m.patience)
	case a := <-answers:
		if a.err != nil {
			return nil, fmt.Errorf("%w: %s", errUnavailable, reason(a.err))
		}
		return a.info, absolute(a.info, pkg)
	}
}

// absolute completes the addresses of files that the index gives relative to its answer, as some
// mirrors do.
func absolute(info *installer.PipPackageInfo, pkg string) error {
	answer, err := url.Parse("https://pypi.org/pypi/" + pkg + "/json")
	if err != nil {
		return err
	}
	for _, files := range info.Releases {
		for i := range files {
			file, err := answer.Parse(files[i].URL)
			if err != nil {
				return err
			}
			files[i].URL = file.String()
		}
	}
	return nil
}
