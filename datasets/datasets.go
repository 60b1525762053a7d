// Package datasets holds what the networks learn from, images and synthetic data, as plain arrays.
// It knows no backend.
//
// Three sets of 32×32 colour images, all from Krizhevsky, Learning Multiple Layers of Features from
// Tiny Images (2009):
//
//	cifar10-mini   1,000 training and 1,000 test images of CIFAR-10, embedded in the program: no file, no network
//	cifar10        50,000 and 10,000 images of 10 classes
//	cifar100       50,000 and 10,000 images of 100 classes (the fine labels)
//
// The last two are downloaded once, about 170 MB each, and kept as the official binary files; go
// run ./scripts/download does the same ahead of time. A share of the images can be given a small
// margin by degrading them (SmallMargin).
//
// Two synthetic distributions, drawn from a seed: the paper's D, of patches with a shared feature
// and small margins (Distribution, Margin), and standard normal points (Gaussian).
package datasets

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Side of an image and its number of channels (red, green, blue).
const (
	Side     = 32
	Channels = 3

	imageBytes = Side * Side * Channels
)

// Images is a set of labelled images.
type Images struct {
	Name        string
	Classes     int
	ClassNames  []string // [Classes]
	Pixels      []uint8  // [N, 32, 32, 3]: image, row from the top, column from the left, channel
	Labels      []uint8  // [N], each in [0, Classes)
	SmallMargin []bool   // [N], which images [SmallMargin.Apply] has degraded; nil: none

	// Mean and standard deviation of each channel over the whole CIFAR training set, with pixels in
	// [0, 1]. Training and test set, and the mini set too, have those of the training set.
	Mean, Std [3]float32
}

// N is the number of images.
func (m *Images) N() int { return len(m.Labels) }

// Slice is the images from (included) to (excluded), in the same memory.
func (m *Images) Slice(from, to int) *Images {
	s := *m
	s.Pixels = m.Pixels[from*imageBytes : to*imageBytes]
	s.Labels = m.Labels[from:to]
	if m.SmallMargin != nil {
		s.SmallMargin = m.SmallMargin[from:to]
	}
	return &s
}

// Options says where CIFAR lies and comes from. The mini set needs none.
type Options struct {
	// holds the unpacked data; empty: momentum/data in the user's cache folder ($XDG_CACHE_HOME or
	// ~/.cache on Linux)
	Dir     string
	Offline bool // never touch the network
	// in place of https://www.cs.toronto.edu/~kriz, or the whole address of a .tar.gz; the checksum
	// stays the official one
	Mirror string
	From   string    // the official tarball on disk, in place of a download
	Out    io.Writer // for progress; nil: none
}

// Names lists the sets that Load knows.
func Names() []string {
	names := []string{miniName}
	for _, a := range archives {
		names = append(names, a.name)
	}
	return names
}

// Facts are what is known of a set without loading it.
type Facts struct {
	Title   string // for people, such as "CIFAR-10"
	Train   int    // training images
	Classes int
}

// Describe returns the facts of a set.
func Describe(name string) (Facts, error) {
	if name == miniName {
		return Facts{"CIFAR-10 sample", miniColumns * miniRows, len(archives[0].classes)}, nil
	}
	a, err := archiveByName(name, Names())
	if err != nil {
		return Facts{}, fmt.Errorf("datasets: %w", err)
	}
	f := Facts{Title: "CIFAR-" + strings.TrimPrefix(name, "cifar"), Classes: len(a.classes)}
	for _, m := range a.train {
		f.Train += m.records
	}
	return f, nil
}

// Load returns the training and the test images of a set. CIFAR is downloaded first if it is not
// there; two processes may do so at once.
func Load(ctx context.Context, name string, o Options) (train, test *Images, err error) {
	if name == miniName {
		train, test, err = loadMini()
	} else {
		var a archive
		if a, err = archiveByName(name, Names()); err == nil {
			train, test, err = a.load(ctx, o)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("datasets: %w", err)
	}
	return train, test, nil
}

// Download makes CIFAR ready for Load and returns its folder. Unlike Load it reads and checks what
// is there, and replaces it if it is damaged.
func Download(ctx context.Context, name string, o Options) (folder string, err error) {
	a, err := archiveByName(name, Names()[1:])
	if err == nil {
		folder, err = a.download(ctx, o)
	}
	if err != nil {
		return "", fmt.Errorf("datasets: %w", err)
	}
	return folder, nil
}

func archiveByName(name string, known []string) (archive, error) {
	i := slices.IndexFunc(archives, func(a archive) bool { return a.name == name })
	if i < 0 {
		return archive{}, fmt.Errorf("no data set %q, want one of %s", name,
			strings.Join(known, ", "))
	}
	return archives[i], nil
}

// dir is the folder that holds the data.
func (o Options) dir() (string, error) {
	if o.Dir != "" {
		return o.Dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for data: %w; name one with -dir", err)
	}
	return filepath.Join(cache, "momentum", "data"), nil
}
