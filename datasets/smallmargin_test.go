package datasets

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/draw"
)

// filled returns n images with the given values.
func filled(n int, value func(i, y, x, c int) uint8) *Images {
	m := &Images{Classes: 1, Pixels: make([]uint8, 0, n*imageBytes), Labels: make([]uint8, n)}
	for k := range n * Side * Side {
		for c := range Channels {
			m.Pixels = append(m.Pixels, value(k/(Side*Side), k/Side%Side, k%Side, c))
		}
	}
	return m
}

func apply(t *testing.T, s SmallMargin, m *Images, purpose string) *Images {
	t.Helper()
	result, err := s.Apply(m, purpose)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func mini(t *testing.T) (train, test *Images) {
	t.Helper()
	train, test, err := Load(t.Context(), miniName, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return train, test
}

func TestBoxMeans(t *testing.T) {
	p := make([]uint8, imageBytes)
	// The green of the block in row 0, column 1: (1 + 2 + 4 + 8)/4 = 3.75.
	p[(0*Side+2)*Channels+1], p[(0*Side+3)*Channels+1], p[(1*Side+2)*Channels+1],
		p[(1*Side+3)*Channels+1] = 1, 2, 4, 8
	got := boxMeans(p, 2)
	if mean := got[1*Channels+1]; mean != 3.75 {
		t.Errorf("the block's mean is %v, want 3.75", mean)
	}
	got[1*Channels+1] = 0
	if len(got) != 16*16*3 || slices.Max(got) != 0 {
		t.Errorf("%d values up to %v elsewhere, want %d of 0", len(got), slices.Max(got), 16*16*3)
	}
}

func TestEnlarge(t *testing.T) {
	// Red is 0 in the left column of 2×2 blocks, 8 in the second, and 0 from the third on. The
	// centres of pixels lie at 1/4 and 3/4 of the way between those of blocks. Outside the first
	// centre the edge is repeated.
	low := make([]float64, 16*16*Channels)
	for y := range 16 {
		low[(y*16+1)*Channels] = 8
	}
	large := enlarge(low, 2)
	for y := range Side {
		for x, want := range []float64{0, 2, 6, 6, 2, 0, 0} {
			if got := large[(y*Side+x)*Channels]; got != want {
				t.Fatalf("row %d, column %d: %v, want %v", y, x, got, want)
			}
		}
	}
}

// The scalers of golang.org/x/image/draw, with a box kernel and the bilinear one, agree with ours
// up to their rounding of both images to bytes, which changes a value by less than 1 each time.
func TestResolutionAgainstDraw(t *testing.T) {
	train, _ := mini(t)
	box := draw.Kernel{Support: 0.5, At: func(float64) float64 { return 1 }}
	for _, factor := range []int{2, 4, 8} {
		for i := range 20 {
			low := (&Images{Pixels: make([]uint8, imageBytes), Labels: []uint8{0}}).Image(0)
			part := low.Rect
			part.Max = part.Max.Div(factor)
			box.Scale(low, part, train.Image(i), train.Image(i).Rect, draw.Src, nil)
			want := train.Image(i)
			draw.BiLinear.Scale(want, want.Rect, low.SubImage(part), part, draw.Src, nil)
			means := boxMeans(train.Slice(i, i+1).Pixels, factor)
			for k, got := range enlarge(means, factor) {
				if w := float64(want.Pix[k/3*4+k%3]); math.Abs(got-w) >= 2 {
					t.Fatalf("factor %d, image %d, value %d: %v, want %v ± 2", factor, i, k, got, w)
				}
			}
		}
	}
}

// Without noise and at full resolution only the channels are permuted: all images in one way, or
// each in one of five.
func TestShuffle(t *testing.T) {
	images := filled(1000, func(_, y, x, c int) uint8 { return uint8(80*c + y + x) })
	for _, tt := range []struct {
		shuffle string
		want    int // number of permutations
	}{{"fixed", 1}, {"image", 5}} {
		s := SmallMargin{Share: 1, Factor: 1, Shuffle: tt.shuffle, Seed: 3}
		result := apply(t, s, images, "train")
		seen := map[[Channels]int]int{}
		for i := range images.N() {
			pixels := result.Pixels[i*imageBytes : (i+1)*imageBytes]
			// Pixel (0, 0) is 0, 80, 160.
			p := [Channels]int{int(pixels[0]) / 80, int(pixels[1]) / 80, int(pixels[2]) / 80}
			seen[p]++
			for k, v := range pixels {
				if want := images.Pixels[i*imageBytes+k/3*3+p[k%3]]; v != want {
					t.Fatalf("%s: image %d, value %d: %d, want %d", tt.shuffle, i, k, v, want)
				}
			}
		}
		for p, n := range seen {
			// Each is expected 200 times in 1,000, with a standard deviation of √(1000·0.2·0.8) =
			// 12.6, and five of those are 63.
			if !slices.Contains(permutations, p) || tt.want == 5 && (n < 137 || n > 263) {
				t.Errorf("%s: permutation %v in %d images", tt.shuffle, p, n)
			}
		}
		if len(seen) != tt.want {
			t.Errorf("%s: the permutations %v, want %d", tt.shuffle, seen, tt.want)
		}
		if test := apply(t, s, images, "test"); tt.shuffle == "fixed" &&
			!bytes.Equal(test.Pixels, result.Pixels) {
			t.Error("fixed: another permutation for the test images")
		}
	}
}

// On a grey of 128 the noise is not clipped, since 0.5 is 7 standard deviations √0.005. Its mean is
// 0, and its variance is 0.005 plus 1/12 of a squared byte for the rounding.
func TestNoise(t *testing.T) {
	const n = 200
	images := filled(n, func(_, _, _, _ int) uint8 { return 128 })
	s := SmallMargin{Share: 1, Factor: 2, Variance: 0.005, Shuffle: "image", Seed: 1}
	result := apply(t, s, images, "train")
	var sum, squares, neighbours float64
	for k, v := range result.Pixels {
		x := (float64(v) - 128) / 255
		sum += x
		squares += x * x
		if k > 0 {
			neighbours += x * (float64(result.Pixels[k-1]) - 128) / 255
		}
	}
	const values = n * imageBytes // 614,400
	want := 0.005 + 1./12/255/255
	// The limits are five standard errors: √(v/N), v√(2/N) and v/√N.
	if mean := sum / values; math.Abs(mean) > 5*math.Sqrt(want/values) {
		t.Errorf("mean %v, want 0 ± %v", mean, 5*math.Sqrt(want/values))
	}
	if got := squares / values; math.Abs(got-want) > 5*want*math.Sqrt(2./values) {
		t.Errorf("variance %v, want %v ± %v", got, want, 5*want*math.Sqrt(2./values))
	}
	if got := neighbours / values; math.Abs(got) > 5*want/math.Sqrt(values) {
		t.Errorf("covariance of neighbours %v, want 0 ± %v", got, 5*want/math.Sqrt(values))
	}
	// Black and white are clipped, not wrapped around.
	s.Factor, s.Variance = 1, 1e-4
	images = filled(2, func(i, _, _, _ int) uint8 { return uint8(255 * i) })
	result = apply(t, s, images, "train")
	dark, bright := slices.Max(result.Pixels[:imageBytes]), slices.Min(result.Pixels[imageBytes:])
	if dark > 20 || bright < 235 {
		t.Errorf("black becomes up to %d and white down to %d", dark, bright)
	}
}

// The share is exact, and even: any slice of the set has its share, up to one image at either end.
func TestShareOfIndices(t *testing.T) {
	for _, tt := range []struct {
		n     int
		share float64
		want  int
	}{{1000, 0.1, 100}, {1000, 0, 0}, {1000, 1, 1000}, {997, 0.1, 100}, {1000, 0.7, 700},
		{10, 0.25, 3}, {3, 0.1, 0}} {
		s := SmallMargin{Share: tt.share, Seed: 2}
		indices := s.choose(tt.n, "train")
		if len(indices) != tt.want || !slices.IsSorted(indices) ||
			len(slices.Compact(slices.Clone(indices))) != tt.want {
			t.Errorf("share %v of %d: %d images %v, want %d different ones", tt.share, tt.n,
				len(indices), indices, tt.want)
		}
		for k, i := range indices {
			expected := float64(i) * float64(tt.want) / float64(tt.n)
			if math.Abs(float64(k)-expected) > 1 {
				t.Errorf("share %v of %d: %d before image %d, want about %.1f", tt.share, tt.n, k,
					i, expected)
			}
		}
	}
}

// The other images stay the same bytes, and Apply does not change the set that it is given.
func TestShareOfImages(t *testing.T) {
	train, _ := mini(t)
	before := slices.Clone(train.Pixels)
	s := SmallMargin{Share: 0.1, Factor: 2, Variance: 0.005, Shuffle: "image", Seed: 1}
	result := apply(t, s, train, "train")
	changed := 0
	for i := range train.N() {
		same := bytes.Equal(train.Pixels[i*imageBytes:(i+1)*imageBytes],
			result.Pixels[i*imageBytes:(i+1)*imageBytes])
		if same == result.SmallMargin[i] {
			t.Errorf("image %d: small margin %v, unchanged %v", i, result.SmallMargin[i], same)
		}
		if !same {
			changed++
		}
	}
	if changed != 100 || !bytes.Equal(train.Pixels, before) || train.SmallMargin != nil {
		t.Errorf("%d images changed, want 100, and the given set as it was", changed)
	}
	if part := result.Slice(20, 30); len(part.SmallMargin) != 10 ||
		!slices.Equal(part.SmallMargin, result.SmallMargin[20:30]) {
		t.Errorf("a slice has the small margins %v", part.SmallMargin)
	}
	if none := apply(t, SmallMargin{}, train, "train"); !bytes.Equal(none.Pixels, train.Pixels) ||
		slices.Contains(none.SmallMargin, true) {
		t.Error("a share of 0 changes images")
	}
}

// The result for an image depends on its index, not on the other small-margin images. Training set,
// test set and seeds have different streams. The other settings do not change the choice of images.
func TestStreamsOfSmallMargin(t *testing.T) {
	images := filled(50, func(i, y, x, c int) uint8 { return uint8(100 + y + x) })
	s := SmallMargin{Share: 1, Factor: 2, Variance: 0.005, Shuffle: "image", Seed: 1}
	all := apply(t, s, images, "train")
	s.Share = 0.3
	some := apply(t, s, images, "train")
	for i, smallMargin := range some.SmallMargin {
		same := bytes.Equal(some.Slice(i, i+1).Pixels, all.Slice(i, i+1).Pixels)
		if same != smallMargin {
			t.Errorf("image %d depends on the share", i)
		}
	}
	other := s
	other.Factor, other.Variance, other.Shuffle = 4, 0.1, "fixed"
	if !slices.Equal(apply(t, other, images, "train").SmallMargin, some.SmallMargin) {
		t.Error("factor, variance and shuffle change which images have a small margin")
	}
	other = s
	other.Seed = 2
	for name, m := range map[string]*Images{"another purpose": apply(t, s, images, "test"),
		"another seed": apply(t, other, images, "train")} {
		if slices.Equal(m.SmallMargin, some.SmallMargin) || bytes.Equal(m.Pixels, some.Pixels) {
			t.Errorf("%s gives the same images a small margin", name)
		}
	}
}

// The bytes are the same on every machine and in every version, so that runs can be compared.
func TestSmallMarginGolden(t *testing.T) {
	train, test := mini(t)
	s := SmallMargin{Share: 0.1, Factor: 2, Variance: 0.005, Shuffle: "image", Seed: 1}
	for _, tt := range []struct {
		images        *Images
		purpose, want string
	}{
		{train, "train", "ebebf560ab2b734cc66c1900eb7e7171be6f86d99b0cee2a97bb90a1c7369c9a"},
		{test, "test", "ae61cc558a8710b0a47771d00cb2aa52e32660bc6a44688d17b14d74a0a88cd0"},
	} {
		sum := sha256.Sum256(apply(t, s, tt.images, tt.purpose).Pixels)
		if got := fmt.Sprintf("%x", sum); got != tt.want {
			t.Errorf("%s: sha256 %s, want %s", tt.purpose, got, tt.want)
		}
	}
}

func TestSmallMarginValidate(t *testing.T) {
	good := SmallMargin{Share: 0.1, Factor: 2, Variance: 0.005, Shuffle: "image"}
	for _, tt := range []struct {
		change func(s *SmallMargin)
		want   string
	}{
		{func(s *SmallMargin) {}, ""},
		{func(s *SmallMargin) { *s = SmallMargin{} }, ""},
		{func(s *SmallMargin) { s.Share = -0.1 },
			"small margin: the share must be in [0, 1], got -0.1"},
		{func(s *SmallMargin) { s.Share = 1.1 },
			"small margin: the share must be in [0, 1], got 1.1"},
		{func(s *SmallMargin) { s.Share = math.NaN() },
			"small margin: the share must be in [0, 1], got NaN"},
		{func(s *SmallMargin) { s.Factor = 0 },
			"small margin: the factor must be a divisor of 32, got 0"},
		{func(s *SmallMargin) { s.Factor = 3 },
			"small margin: the factor must be a divisor of 32, got 3"},
		{func(s *SmallMargin) { s.Factor = 64 },
			"small margin: the factor must be a divisor of 32, got 64"},
		{func(s *SmallMargin) { s.Variance = math.NaN() },
			"small margin: the variance must be in [0, 1], got NaN"},
		{func(s *SmallMargin) { s.Variance = 2 },
			"small margin: the variance must be in [0, 1], got 2"},
		{func(s *SmallMargin) { s.Shuffle = "none" },
			`small margin: the shuffle must be image or fixed, got "none"`},
	} {
		s := good
		tt.change(&s)
		got := ""
		if err := s.Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%+v: %q, want %q", s, got, tt.want)
		}
	}
	black := filled(1, func(_, _, _, _ int) uint8 { return 0 })
	_, err := (SmallMargin{Share: 2}).Apply(black, "train")
	if err == nil || !strings.HasPrefix(err.Error(), "datasets: small margin: ") {
		t.Error(err)
	}
}

// Pixel (x, y) of an image has the three channels of its row and column.
func TestImage(t *testing.T) {
	images := filled(2, func(i, y, x, c int) uint8 { return uint8(100*i + 3*y + 2*x + c) })
	picture := images.Image(1)
	if picture.Bounds().Size() != image.Pt(32, 32) ||
		picture.RGBAAt(5, 7) != (color.RGBA{131, 132, 133, 255}) {
		t.Errorf("%v, at (5, 7) %v; want 100 + 21 + 10 + 0, 1, 2", picture.Bounds(),
			picture.RGBAAt(5, 7))
	}
}
