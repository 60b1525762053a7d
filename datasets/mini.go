package datasets

import (
	"bytes"
	_ "embed" // the mini set
	"fmt"
	"image"
	"image/png"
	"strconv"
	"strings"
	"sync"
)

// The mini set; mini/README.md says where it is from and how it was drawn.
const (
	miniName    = "cifar10-mini"
	miniColumns = 40 // images in a row of a mosaic
	miniRows    = 25
)

var (
	//go:embed mini/train.png
	miniTrain []byte
	//go:embed mini/train.txt
	miniTrainLabels []byte
	//go:embed mini/test.png
	miniTest []byte
	//go:embed mini/test.txt
	miniTestLabels []byte
)

// decodedMini returns the training and the test images, which nobody may change. Decoding takes 100
// ms and its result is a constant: a process with many runs, such as a test, does it once.
var decodedMini = sync.OnceValues(func() (sets [2]*Images, err error) {
	sets[0], err = decodeMini(miniTrain, miniTrainLabels, miniColumns, miniRows)
	if err != nil {
		return sets, fmt.Errorf("%s: train: %w", miniName, err)
	}
	sets[1], err = decodeMini(miniTest, miniTestLabels, miniColumns, miniRows)
	if err != nil {
		return sets, fmt.Errorf("%s: test: %w", miniName, err)
	}
	return sets, nil
})

// loadMini returns the mini set, in memory of the caller's own.
func loadMini() (train, test *Images, err error) {
	sets, err := decodedMini()
	if err != nil {
		return nil, nil, err
	}
	return sets[0].clone(), sets[1].clone(), nil
}

// decodeMini reads a mosaic of columns × rows images, row by row from the top and each row from the
// left, and their labels, which are numbers separated by white space.
func decodeMini(mosaic, labels []byte, columns, rows int) (*Images, error) {
	cifar10 := archives[0]
	n := columns * rows
	m := &Images{
		Name: miniName, Classes: len(cifar10.classes), ClassNames: cifar10.classes,
		Mean: cifar10.mean, Std: cifar10.std,
		Pixels: make([]uint8, 0, n*imageBytes), Labels: make([]uint8, 0, n),
	}
	for _, field := range strings.Fields(string(labels)) {
		label, err := strconv.ParseUint(field, 10, 8)
		if err != nil || int(label) >= m.Classes {
			return nil, fmt.Errorf("label %d is %q, want 0 to %d", m.N(), field, m.Classes-1)
		}
		m.Labels = append(m.Labels, uint8(label))
	}
	if m.N() != n {
		return nil, fmt.Errorf("%d labels, want %d", m.N(), n)
	}

	size := image.Pt(columns*Side, rows*Side)
	// The size is checked first, because Decode allocates whatever size the file claims.
	if c, err := png.DecodeConfig(bytes.NewReader(mosaic)); err != nil {
		return nil, fmt.Errorf("mosaic: %w", err)
	} else if got := image.Pt(c.Width, c.Height); got != size {
		return nil, fmt.Errorf("mosaic: %v pixels, want %v (%d images)", got, size, n)
	}
	decoded, err := png.Decode(bytes.NewReader(mosaic))
	if err != nil {
		return nil, fmt.Errorf("mosaic: %w", err)
	}
	rgba, ok := decoded.(*image.RGBA) // the type for 8 bits of red, green and blue
	if !ok {
		return nil, fmt.Errorf("mosaic: decodes to %T, want 8-bit RGB", decoded)
	}
	for i := range n {
		x, y := i%columns*Side, i/columns*Side
		for row := range Side {
			line := rgba.Pix[rgba.PixOffset(x, y+row):]
			for column := range Side {
				m.Pixels = append(m.Pixels, line[4*column:4*column+Channels]...)
			}
		}
	}
	return m, nil
}
