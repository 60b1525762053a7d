package datasets

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"image/png"
	"strings"
	"testing"
)

// The digests are those of the pixels as minigen wrote them, so one changed bit of an image is
// noticed.
func TestMini(t *testing.T) {
	train, test, err := Load(t.Context(), "cifar10-mini", Options{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[sha256.Size]byte]bool{}
	for _, tt := range []struct {
		set    *Images
		digest string
	}{{train, "7c2bd9703bf3abe09e1bece66bd6fbe3f96817e5c9bc56ea5ec09791d11c675a"},
		{test, "bfeeb20d7ca265783110f5ff5d72de0de416b1028de9bbf98e4a55fa33eadb42"}} {
		m := tt.set
		if m.N() != 1000 || len(m.Pixels) != 1000*32*32*3 ||
			m.Classes != 10 || len(m.ClassNames) != 10 ||
			m.Mean != archives[0].mean || m.Std != archives[0].std {
			t.Errorf("%d images, %d pixels, %d classes, mean %v, std %v", m.N(), len(m.Pixels),
				m.Classes, m.Mean, m.Std)
		}
		for i, label := range m.Labels {
			if int(label) != i%10 {
				t.Fatalf("image %d has class %d, want %d", i, label, i%10)
			}
			d := sha256.Sum256(m.Slice(i, i+1).Pixels)
			if seen[d] {
				t.Errorf("image %d occurs twice", i)
			}
			seen[d] = true
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(m.Pixels)); got != tt.digest {
			t.Errorf("pixels have sha256 %s, want %s", got, tt.digest)
		}
	}
}

// mosaic encodes columns × rows images whose pixels count up.
func mosaic(columns, rows int) []byte {
	m := image.NewRGBA(image.Rect(0, 0, columns*Side, rows*Side))
	for i := range m.Pix {
		m.Pix[i] = byte(i / 4 * 3)
		if i%4 == 3 {
			m.Pix[i] = 255
		}
	}
	return encode(m)
}

func encode(m image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestDecodeMini(t *testing.T) {
	// One pixel each identifies image 1, to the right of image 0, and image 2, below image 0.
	m := image.NewRGBA(image.Rect(0, 0, 2*Side, 2*Side))
	for i := 3; i < len(m.Pix); i += 4 {
		m.Pix[i] = 255
	}
	copy(m.Pix[m.PixOffset(Side+5, 3):], []uint8{1, 2, 3})
	copy(m.Pix[m.PixOffset(5, Side+4):], []uint8{4, 5, 6})
	images, err := decodeMini(encode(m), []byte("7 1\n0 9\n"), 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(images.Labels, []uint8{7, 1, 0, 9}) {
		t.Errorf("labels %v", images.Labels)
	}
	for position, want := range map[int][]uint8{
		((1*32+3)*32 + 5) * 3: {1, 2, 3},
		((2*32+4)*32 + 5) * 3: {4, 5, 6},
	} {
		if got := images.Pixels[position : position+3]; !bytes.Equal(got, want) {
			t.Errorf("pixel at %d: %v, want %v", position, got, want)
		}
	}

	good := mosaic(2, 1)
	for _, tt := range []struct {
		mosaic []byte
		labels string
		want   string
	}{
		{good, "1", "1 labels, want 2"},
		{good, "1 2 3", "3 labels, want 2"},
		{good, "1 10", `label 1 is "10", want 0 to 9`},
		{good, "-1 1", `label 0 is "-1", want 0 to 9`},
		{mosaic(1, 1), "1 2", "mosaic: (32,32) pixels, want (64,32) (2 images)"},
		{good[:len(good)/2], "1 2", "mosaic: png: invalid format: not enough pixel data"},
		{[]byte("<!DOCTYPE html>"), "1 2", "mosaic: png: invalid format: not a PNG file"},
		{encode(image.NewGray(image.Rect(0, 0, 64, 32))), "1 2",
			"mosaic: decodes to *image.Gray, want 8-bit RGB"},
	} {
		_, err := decodeMini(tt.mosaic, []byte(tt.labels), 2, 1)
		if err == nil || err.Error() != tt.want {
			t.Errorf("labels %q: got %v, want %s", tt.labels, err, tt.want)
		}
	}
}

func FuzzDecodeMini(f *testing.F) {
	f.Add(mosaic(2, 1), []byte("3 4"))
	f.Add(mosaic(1, 1), []byte("3 4\n"))
	f.Add([]byte("\x89PNG"), []byte("x"))
	f.Fuzz(func(t *testing.T, mosaic, labels []byte) {
		m, err := decodeMini(mosaic, labels, 2, 1)
		if err != nil {
			return
		}
		if len(m.Labels) != 2 || len(m.Pixels) != 2*imageBytes ||
			max(m.Labels[0], m.Labels[1]) > 9 {
			t.Errorf("labels %v, %d pixels", m.Labels, len(m.Pixels))
		}
		if got := len(strings.Fields(string(labels))); got != 2 {
			t.Errorf("%d labels are accepted as 2", got)
		}
	})
}

// What a caller does with the images of the mini set changes nothing for the next one.
func TestMiniIsTheCallersOwn(t *testing.T) {
	train, test, err := loadMini()
	if err != nil {
		t.Fatal(err)
	}
	next, err := decodedMini()
	if err != nil {
		t.Fatal(err)
	}
	for i, set := range []*Images{train, test} {
		set.Pixels[0] ^= 1
		set.Labels[0] ^= 1
		if next[i].Pixels[0] == set.Pixels[0] || next[i].Labels[0] == set.Labels[0] {
			t.Errorf("set %d: the images are shared", i)
		}
	}
}
