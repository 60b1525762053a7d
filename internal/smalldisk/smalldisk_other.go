//go:build !linux

package smalldisk

import "errors"

// Mount is an error: it needs Linux.
func Mount(string) (path string, unmount func() error, err error) {
	return "", nil, errors.New("no small disk can be mounted: this needs Linux")
}
