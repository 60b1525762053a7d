// Package datasets provides the training and test data, images and synthetic samples, as plain
// arrays. It does not depend on a backend.
//
// There are three sets of 32×32 colour images, all from Krizhevsky, Learning Multiple Layers of
// Features from Tiny Images (2009):
//
//	cifar10-mini   1,000 training and 1,000 test images of CIFAR-10, embedded in the program
//	cifar10        50,000 and 10,000 images of 10 classes
//	cifar100       50,000 and 10,000 images of 100 classes (the fine labels)
//
// The last two are downloaded once, about 170 MB each, and kept as the official binary files; go
// run ./scripts/download does so ahead of time. [SmallMargin] gives a share of the images a small
// margin.
//
// There are two synthetic distributions, drawn from a seed: the paper's D, whose samples have large
// or small margins and share a feature ([Distribution], [Samples]), and standard normal points
// ([Gaussian]).
package datasets

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"momentum/internal/fetch"
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
	SmallMargin []bool   // [N], the images to which [SmallMargin.Apply] gave one; nil: none
	Random      bool     // pixels and labels are drawn, by [Options.OrRandom]

	// Mean and Std are the mean and the standard deviation of each channel, with pixels in [0, 1],
	// over the whole CIFAR training set. Test sets and the mini set have those of the training set
	// too.
	Mean, Std [3]float32
}

// N returns the number of images.
func (m *Images) N() int { return len(m.Labels) }

// Slice returns the images from (included) to (excluded). They share the memory of m.
func (m *Images) Slice(from, to int) *Images {
	s := *m
	s.Pixels = m.Pixels[from*imageBytes : to*imageBytes]
	s.Labels = m.Labels[from:to]
	if m.SmallMargin != nil {
		s.SmallMargin = m.SmallMargin[from:to]
	}
	return &s
}

// clone returns a copy with pixels and labels of its own.
func (m *Images) clone() *Images {
	c := *m
	c.Pixels, c.Labels = slices.Clone(m.Pixels), slices.Clone(m.Labels)
	return &c
}

// Select returns a copy of the images at some indices.
func (m *Images) Select(indices []int) *Images {
	s := *m
	s.Pixels, s.Labels, s.SmallMargin = nil, nil, nil
	for _, i := range indices {
		s.Pixels = append(s.Pixels, m.Pixels[i*imageBytes:(i+1)*imageBytes]...)
		s.Labels = append(s.Labels, m.Labels[i])
		if m.SmallMargin != nil {
			s.SmallMargin = append(s.SmallMargin, m.SmallMargin[i])
		}
	}
	return &s
}

// Options say where CIFAR lies on disk and where it comes from. The mini set needs none.
type Options struct {
	// Dir holds the unpacked data. Empty: momentum/data in the user's cache folder, which is
	// $XDG_CACHE_HOME or ~/.cache on Linux.
	Dir string
	// Offline forbids the use of the network.
	Offline bool
	// OrRandom downloads nothing: a set that is not on disk gets random pixels and labels of a
	// fixed seed, as many as it has. They do for measuring time and memory.
	OrRandom bool
	// Mirror takes the place of https://www.cs.toronto.edu/~kriz, or is the whole address of a
	// .tar.gz. The checksum remains the official one.
	Mirror string
	// From is the official tarball on disk, to be used in place of a download.
	From string
	// Tarball, if not nil, takes the place of the official one.
	Tarball *Tarball
	// Fetch has the time limits of a download, and its client. Its Out, Label and Advice are not
	// used.
	Fetch fetch.Options
	// Out receives the progress. Nil: no output.
	Out io.Writer
}

// Tarball is one in the form of the official one, with fewer images.
type Tarball struct {
	SHA256  string // hexadecimal
	Size    int64  // in bytes
	Records int    // images in each of its files
}

// Names lists the sets that Load knows.
func Names() []string {
	names := []string{miniName}
	for _, a := range archives {
		names = append(names, a.name)
	}
	return names
}

// Facts describe a set without its images.
type Facts struct {
	Title      string // for people, such as "CIFAR-10"
	Train      int    // training images
	Classes    int
	ClassNames []string   // [Classes]
	Mean, Std  [3]float32 // as in [Images]
}

// Describe returns the facts about a set, without loading it.
func Describe(name string) (Facts, error) {
	if name == miniName {
		f := archives[0].facts()
		f.Title, f.Train = "CIFAR-10 sample", miniColumns*miniRows
		return f, nil
	}
	a, err := archiveByName(name, Names(), nil)
	if err != nil {
		return Facts{}, fmt.Errorf("datasets: %w", err)
	}
	return a.facts(), nil
}

// facts are the facts about an archive.
func (a archive) facts() Facts {
	f := Facts{Title: "CIFAR-" + strings.TrimPrefix(a.name, "cifar"), Classes: len(a.classes),
		ClassNames: a.classes, Mean: a.mean, Std: a.std}
	for _, m := range a.train {
		f.Train += m.records
	}
	return f
}

// Load returns the training and the test images of a set. It downloads CIFAR first if it is
// missing, unless Options.OrRandom says otherwise; two processes may do so at the same time.
func Load(ctx context.Context, name string, o Options) (train, test *Images, err error) {
	if name == miniName {
		train, test, err = loadMini()
	} else {
		var a archive
		if a, err = archiveByName(name, Names(), o.Tarball); err == nil {
			train, test, err = a.load(ctx, o)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("datasets: %w", err)
	}
	return train, test, nil
}

// Download makes CIFAR ready for Load and returns its folder. It also checks files that are already
// there, and replaces the folder if one is damaged.
func Download(ctx context.Context, name string, o Options) (folder string, err error) {
	a, err := archiveByName(name, Names()[1:], o.Tarball)
	if err == nil {
		folder, err = a.download(ctx, o)
	}
	if err != nil {
		return "", fmt.Errorf("datasets: %w", err)
	}
	return folder, nil
}

// archiveByName returns a set's archive, with another tarball unless that is nil.
func archiveByName(name string, known []string, t *Tarball) (archive, error) {
	i := slices.IndexFunc(archives, func(a archive) bool { return a.name == name })
	if i < 0 {
		return archive{}, fmt.Errorf("no data set %q, want one of %s", name,
			strings.Join(known, ", "))
	}
	if t != nil {
		return archives[i].in(*t), nil
	}
	return archives[i], nil
}

// dir returns the folder that holds the data.
func (o Options) dir() (string, error) {
	if o.Dir != "" {
		return o.Dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for data: %w; name one with -data-dir", err)
	}
	return filepath.Join(cache, "momentum", "data"), nil
}
