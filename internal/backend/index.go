package backend

import (
	"context"
	"errors"
	"fmt"
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
		return a.info, nil
	}
}
