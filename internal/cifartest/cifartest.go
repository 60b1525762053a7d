// Package cifartest makes up CIFAR for tests: folders with files of the right size, and tarballs of
// any content.
package cifartest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Set is CIFAR-10 or CIFAR-100 in the binary version.
type Set struct {
	Name    string // such as cifar10
	Tarball string // its file name
	Folder  string // in the tarball and on disk
	Files   []File
	labels  int // bytes before the pixels of a record
	classes int
}

// File is one file of records.
type File struct {
	Name    string
	Records int // in the official file
}

// CIFAR10 has five files of training images and one of test images.
func CIFAR10() Set {
	return Set{"cifar10", "cifar-10-binary.tar.gz", "cifar-10-batches-bin", []File{
		{"data_batch_1.bin", 10000}, {"data_batch_2.bin", 10000}, {"data_batch_3.bin", 10000},
		{"data_batch_4.bin", 10000}, {"data_batch_5.bin", 10000}, {"test_batch.bin", 10000}},
		1, 10}
}

// CIFAR100 has one file of training images and one of test images, with two labels each.
func CIFAR100() Set {
	return Set{"cifar100", "cifar-100-binary.tar.gz", "cifar-100-binary", []File{
		{"train.bin", 50000}, {"test.bin", 10000}}, 2, 100}
}

// recordBytes is the size of a record.
func (s Set) recordBytes() int { return s.labels + 32*32*3 }

// Records are records of noise.
func (s Set) Records(n int, random *rand.Rand) []byte {
	all := make([]byte, n*s.recordBytes())
	for i := range all {
		all[i] = byte(random.Uint32())
	}
	for i := range n {
		all[i*s.recordBytes()+s.labels-1] = byte(random.IntN(s.classes))
	}
	return all
}

// Write writes the folder of the set into another one: sparse files of the official size, of black
// images of the first class but for the first and last n images of each, which are noise.
func (s Set) Write(dir string, n int, random *rand.Rand) (err error) {
	folder := filepath.Join(dir, s.Folder)
	if err := os.Mkdir(folder, 0o777); err != nil {
		return err
	}
	for _, file := range s.Files {
		f, err := os.Create(filepath.Join(folder, file.Name))
		if err != nil {
			return err
		}
		size := int64(file.Records) * int64(s.recordBytes())
		_, begin := f.WriteAt(s.Records(n, random), 0)
		_, end := f.WriteAt(s.Records(n, random), size-int64(n*s.recordBytes()))
		if err := errors.Join(begin, end, f.Truncate(size), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Entries are those of a good tarball whose files have n records of noise each, with a readme as in
// the official one.
func (s Set) Entries(n int, random *rand.Rand) []Entry {
	all := []Entry{Special(s.Folder+"/", tar.TypeDir, ""),
		Regular(s.Folder+"/readme.html", []byte("<html>"))}
	for _, file := range s.Files {
		all = append(all, Regular(s.Folder+"/"+file.Name, s.Records(n, random)))
	}
	return all
}

// Entry is one entry of a tarball.
type Entry struct {
	tar.Header
	Content []byte
}

// Regular is the entry of a regular file.
func Regular(name string, content []byte) Entry {
	return Entry{tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}, content}
}

// Special is the entry of what is no regular file, such as a folder or a link to a target.
func Special(name string, kind byte, target string) Entry {
	return Entry{tar.Header{Name: name, Mode: 0o755, Typeflag: kind, Linkname: target}, nil}
}

// Pack returns a tarball. It panics if an entry cannot be written, such as one without a name.
func Pack(entries []Entry) []byte {
	var b bytes.Buffer
	gz, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		panic(err)
	}
	w := tar.NewWriter(gz)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			panic(err)
		}
		if _, err := w.Write(e.Content); err != nil {
			panic(err)
		}
	}
	if err := errors.Join(w.Close(), gz.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}
