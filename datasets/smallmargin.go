package datasets

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"slices"

	"golang.org/x/image/draw"

	"momentum/internal/seeds"
)

// SmallMargin says which images get a small margin by being degraded, as in the paper's Figure 4,
// and how. Each goes through four steps:
//
//  1. Its resolution is lowered: every block of Factor×Factor pixels is replaced by its mean, and
//     the smaller image is enlarged to 32×32 again
//     by bilinear interpolation, with the edge repeated beyond itself. Nearest neighbours would
//     leave the blocks visible, which is a feature
//     rather than a lack of detail.
//  2. Independent noise from N(0, Variance) is added to every value, pixels being in [0, 1].
//  3. Red, green and blue are permuted, never by the identity, so that every degraded image has
//     other colours than it had.
//  4. The values are clipped to [0, 1] and rounded to bytes; nothing is rounded before.
//
// The paper gives the share, the variance and the order, but neither the factor nor whether one
// permutation serves all images: hence the choice.
type SmallMargin struct {
	// of the images that are degraded, in [0, 1]; the paper: 0.1. At 0 the other fields do not
	// count.
	Share    float64
	Factor   int     // a divisor of 32; 1 keeps the resolution
	Variance float64 // of the noise, in [0, 1]; the paper: 0.005
	Shuffle  string  // one of [Shuffles]
	Seed     uint64
}

// Shuffles lists what [SmallMargin.Shuffle] may be: a permutation for each image, or the same one
// for all images of a seed.
func Shuffles() []string { return []string{"image", "fixed"} }

// Validate returns an error that names the first impossible value.
func (s SmallMargin) Validate() error {
	switch {
	case !(s.Share >= 0 && s.Share <= 1): // so that NaN is refused too
		return fmt.Errorf("small margin: the share must be in [0, 1], got %v", s.Share)
	case s.Share == 0:
		return nil
	case s.Factor < 1 || Side%s.Factor != 0:
		return fmt.Errorf("small margin: the factor must be a divisor of %d, got %d", Side,
			s.Factor)
	case !(s.Variance >= 0 && s.Variance <= 1):
		return fmt.Errorf("small margin: the variance must be in [0, 1], got %v", s.Variance)
	case !slices.Contains(Shuffles(), s.Shuffle):
		return fmt.Errorf("small margin: the shuffle must be image or fixed, got %q", s.Shuffle)
	}
	return nil
}

// Apply returns a copy of the images in which round(Share·N) are degraded, and marked in SmallMargin.
// Give it the whole training set, or the whole test set, with its purpose, "train" or "test", and
// slice the copy: every part of it then has its share of degraded images, give or take one at
// either end, because the k-th of m is drawn among the images from k·N/m to (k+1)·N/m alone.
//
// What becomes of an image depends on it, its index, the purpose and the settings, not on other
// images nor on the machine. Settings change only what they name: the variance scales the noise,
// and neither it nor the factor nor the shuffle changes which images are degraded.
func (s SmallMargin) Apply(images *Images, purpose string) (*Images, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("datasets: %w", err)
	}
	degraded := *images
	degraded.Pixels = slices.Clone(images.Pixels)
	degraded.SmallMargin = make([]bool, images.N())
	for _, i := range s.chosen(images.N(), purpose) {
		degraded.SmallMargin[i] = true
		s.degrade(degraded.Pixels[i*imageBytes:(i+1)*imageBytes], fmt.Sprintf("%s/%d", purpose, i))
	}
	return &degraded, nil
}

// chosen draws the indices of the degraded ones of n images, in order.
func (s SmallMargin) chosen(n int, purpose string) []int {
	rng := seeds.Stream(s.Seed, "small margin/"+purpose)
	indices := make([]int, int(math.Round(s.Share*float64(n))))
	for k := range indices {
		from, to := k*n/len(indices), (k+1)*n/len(indices)
		indices[k] = from + rng.IntN(to-from)
	}
	return indices
}

// permutations are all of red, green and blue but the identity: the new channel c is the old
// channel p[c].
var permutations = [][Channels]int{{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}

// degrade changes one image [32, 32, 3] in place. Up to the noise its arithmetic is exact in
// float64, since the divisors are powers of two; then a product is rounded before it is added, as
// in dot. So no byte depends on the machine.
func (s SmallMargin) degrade(pixels []uint8, name string) {
	values := enlarge(boxMeans(pixels, s.Factor), s.Factor)

	rng := seeds.Stream(s.Seed, "small margin/noise/"+name)
	deviation := 255 * math.Sqrt(s.Variance)
	for i := range values {
		values[i] += float64(deviation * rng.NormFloat64())
	}

	purpose := "small margin/shuffle"
	if s.Shuffle == "image" {
		purpose += "/" + name
	}
	p := permutations[seeds.Stream(s.Seed, purpose).IntN(len(permutations))]
	for i := 0; i < len(values); i += Channels {
		for c := range Channels {
			pixels[i+c] = uint8(math.Round(min(max(values[i+p[c]], 0), 255)))
		}
	}
}

// boxMeans averages an image [32, 32, 3] over blocks of factor×factor pixels: [32/factor,
// 32/factor, 3].
func boxMeans(pixels []uint8, factor int) []float64 {
	side := Side / factor
	means := make([]float64, side*side*Channels)
	for y := range Side {
		for x := range Side {
			for c := range Channels {
				means[(y/factor*side+x/factor)*Channels+c] += float64(
					pixels[(y*Side+x)*Channels+c]) / float64(factor*factor)
			}
		}
	}
	return means
}

// enlarge is an image [32/factor, 32/factor, 3] at 32×32 pixels: each takes the value at its centre
// between those of the four centres around it.
func enlarge(small []float64, factor int) []float64 {
	side := Side / factor
	// Pixel x lies this far from the centre of small pixel before on the way to that of after.
	between := func(x int) (before, after int, part float64) {
		at := (float64(x)+0.5)/float64(factor) - 0.5
		floor := math.Floor(at)
		return max(int(floor), 0), min(int(floor)+1, side-1), at - floor
	}
	large := make([]float64, 0, imageBytes)
	for y := range Side {
		top, bottom, down := between(y)
		for x := range Side {
			left, right, across := between(x)
			for c := range Channels {
				value := func(y, x int) float64 { return small[(y*side+x)*Channels+c] }
				large = append(large, (1-down)*((1-across)*value(top, left)+across*value(top,
					right))+
					down*((1-across)*value(bottom, left)+across*value(bottom, right)))
			}
		}
	}
	return large
}

// SideBySide writes a PNG of some images: the original ones in the upper row and the degraded ones
// below them, each pixel as a square of 4×4.
func SideBySide(w io.Writer, original, degraded *Images, indices []int) error {
	const size, gap = 4 * Side, 4
	canvas := image.NewRGBA(image.Rect(0, 0, len(indices)*(size+gap)-gap, 2*size+gap))
	draw.Draw(canvas, canvas.Bounds(), image.White, image.Point{}, draw.Src)
	for row, images := range []*Images{original, degraded} {
		for column, i := range indices {
			if i < 0 || i >= images.N() {
				return fmt.Errorf("datasets: picture: image %d, want 0 to %d", i, images.N()-1)
			}
			corner := image.Pt(column*(size+gap), row*(size+gap))
			tile := image.Rectangle{Min: corner, Max: corner.Add(image.Pt(size, size))}
			draw.NearestNeighbor.Scale(canvas, tile, images.rgba(i), image.Rect(0, 0, Side, Side),
				draw.Src, nil)
		}
	}
	return png.Encode(w, canvas)
}

// rgba is image i as the standard library has it.
func (m *Images) rgba(i int) *image.RGBA {
	p := m.Pixels[i*imageBytes : (i+1)*imageBytes]
	picture := image.NewRGBA(image.Rect(0, 0, Side, Side))
	for k := range Side * Side {
		picture.SetRGBA(k%Side, k/Side, color.RGBA{p[3*k], p[3*k+1], p[3*k+2], 255})
	}
	return picture
}
