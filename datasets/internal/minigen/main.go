// Minigen draws the mini set, which package datasets embeds, from the full CIFAR-10 and writes it
// as mosaics and labels:
//
//	go run ./datasets/internal/minigen -data-dir=DIR [-out=datasets/mini]
//
// DIR holds cifar-10-batches-bin. Each class contributes the 100 training and the 100 test images
// with the smallest keys, where the key is the SHA-256 of "cifar10-mini 1" and the pixels (rows of
// red, green, blue). So the draw is random, does not depend on the order of the records, and can be
// repeated by anyone. An image that occurs twice is taken once, and no image is in both sets. Image
// i of the result has class i mod 10, so in any prefix the classes differ by at most one image.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"image"
	"image/png"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"momentum/datasets"
)

const (
	key      = "cifar10-mini 1"
	perClass = 100
	columns  = 40 // images in a row of the mosaic
)

func main() {
	log.SetFlags(0)
	dir := flag.String("data-dir", "",
		"folder that holds cifar-10-batches-bin; empty: the cache folder")
	out := flag.String("out", "datasets/mini", "folder to write to")
	flag.Parse()
	if err := run(*dir, *out); err != nil {
		log.Fatal("minigen: ", err)
	}
}

func run(dir, out string) error {
	train, test, err := datasets.Load(context.Background(), "cifar10",
		datasets.Options{Dir: dir, Offline: true})
	if err != nil {
		return err
	}
	miniTrain, miniTest := draw(train, test)
	if err := write(filepath.Join(out, "train"), miniTrain); err != nil {
		return err
	}
	return write(filepath.Join(out, "test"), miniTest)
}

// draw picks the mini set.
func draw(train, test *datasets.Images) (miniTrain, miniTest *datasets.Images) {
	taken := map[[sha256.Size]byte]bool{}
	return pick(train, taken), pick(test, taken)
}

// pick takes the images with the smallest keys of each class, except those in taken.
func pick(from *datasets.Images, taken map[[sha256.Size]byte]bool) *datasets.Images {
	type candidate struct {
		image int
		key   [sha256.Size]byte
	}
	classes := make([][]candidate, from.Classes)
	for i, label := range from.Labels {
		k := sha256.Sum256(append([]byte(key), from.Slice(i, i+1).Pixels...))
		classes[label] = append(classes[label], candidate{i, k})
	}
	chosen := make([][]int, from.Classes)
	for label, c := range classes {
		slices.SortFunc(c, func(a, b candidate) int {
			return cmp.Or(bytes.Compare(a.key[:], b.key[:]), cmp.Compare(a.image, b.image))
		})
		for _, x := range c {
			if len(chosen[label]) < perClass && !taken[x.key] {
				taken[x.key] = true
				chosen[label] = append(chosen[label], x.image)
			}
		}
	}
	to := *from
	to.Pixels, to.Labels = nil, nil
	for k := range perClass {
		for _, images := range chosen {
			i := images[k]
			to.Pixels = append(to.Pixels, from.Slice(i, i+1).Pixels...)
			to.Labels = append(to.Labels, from.Labels[i])
		}
	}
	return &to
}

// write writes base.png and base.txt.
func write(base string, m *datasets.Images) error {
	const side = datasets.Side
	mosaic := image.NewRGBA(image.Rect(0, 0, columns*side, m.N()/columns*side))
	var labels strings.Builder
	for i, label := range m.Labels {
		separator := " "
		if i%columns == columns-1 {
			separator = "\n"
		}
		fmt.Fprintf(&labels, "%d%s", label, separator)
		pixels := m.Slice(i, i+1).Pixels
		for k := range side * side {
			p := mosaic.Pix[mosaic.PixOffset(i%columns*side+k%side, i/columns*side+k/side):]
			copy(p, pixels[3*k:3*k+3])
			p[3] = 255
		}
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, mosaic); err != nil {
		return err
	}
	if err := os.WriteFile(base+".png", b.Bytes(), 0o666); err != nil {
		return err
	}
	return os.WriteFile(base+".txt", []byte(labels.String()), 0o666)
}
