package datasets

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"

	"momentum/internal/seeds"
)

// SmallMargin describes how a share of the images gets a small margin, as in the paper's Figure 4.
// Each of these images goes through four steps:
//
//  1. Its resolution is lowered: every block of Factor×Factor pixels is replaced by its mean, and
//     the smaller image is enlarged to 32×32 again by bilinear interpolation, with its edge
//     repeated outside. Interpolation by the nearest neighbour would leave visible blocks, which
//     are a feature rather than a lack of detail.
//  2. Independent noise from N(0, Variance) is added to every value, where pixels are in [0, 1].
//  3. Red, green and blue are permuted, never by the identity, so that the colours always change.
//  4. The values are clipped to [0, 1] and only then rounded to bytes.
//
// The paper gives the share, the variance and the order of the steps, but not the factor, nor
// whether all images have the same permutation: both are settings here.
type SmallMargin struct {
	Share    float64 // of the images, in [0, 1]; paper: 0.1; at 0 the other fields are ignored
	Factor   int     // a divisor of 32; 1 keeps the resolution
	Variance float64 // of the noise, in [0, 1]; paper: 0.005
	Shuffle  string  // one of [Shuffles]
	Seed     uint64
}

// Shuffles lists the values of [SmallMargin.Shuffle]: a permutation for each image, or the same one
// for all images of a seed.
func Shuffles() []string { return []string{"image", "fixed"} }

// Validate returns an error that names the first impossible value.
func (s SmallMargin) Validate() error {
	switch {
	case !(s.Share >= 0 && s.Share <= 1): // refuses NaN too
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

// Apply returns a copy of the images in which m = round(Share·N) have a small margin; the copy's
// SmallMargin tells which. Apply it to the whole training set, or the whole test set, with the
// purpose "train" or "test", and slice the copy: every slice then has its share of small-margin
// images, up to one at either end, because the k-th of the m images is drawn from those between
// k·N/m and (k+1)·N/m.
//
// The result for an image depends on the image, its index, the purpose and the settings, but not on
// other images or on the machine. Each setting changes only what it names: the variance scales the
// noise, and variance, factor and shuffle have no influence on which images have a small margin.
func (s SmallMargin) Apply(images *Images, purpose string) (*Images, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("datasets: %w", err)
	}
	result := images.clone()
	result.SmallMargin = make([]bool, images.N())
	for _, i := range s.choose(images.N(), purpose) {
		result.SmallMargin[i] = true
		s.reduceMargin(result.Pixels[i*imageBytes:(i+1)*imageBytes],
			fmt.Sprintf("%s/%d", purpose, i))
	}
	return result, nil
}

// choose draws the indices of the small-margin images among n images, in increasing order.
func (s SmallMargin) choose(n int, purpose string) []int {
	rng := seeds.Stream(s.Seed, "small margin/"+purpose)
	indices := make([]int, int(math.Round(s.Share*float64(n))))
	for k := range indices {
		from, to := k*n/len(indices), (k+1)*n/len(indices)
		indices[k] = from + rng.IntN(to-from)
	}
	return indices
}

// permutations are those of red, green and blue, without the identity: the new channel c is the old
// channel p[c].
var permutations = [][Channels]int{{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}

// reduceMargin changes one image [32, 32, 3] in place. Its arithmetic before the noise is exact in
// float64, since the divisors are powers of two. The product with the noise is rounded before it is
// added, as in dot. So no byte depends on the machine.
func (s SmallMargin) reduceMargin(pixels []uint8, name string) {
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

// boxMeans averages an image [32, 32, 3] over blocks of factor×factor pixels. The result is an
// image [32/factor, 32/factor, 3].
func boxMeans(pixels []uint8, factor int) []float64 {
	side := Side / factor
	means := make([]float64, side*side*Channels)
	for y := range Side {
		for x := range Side {
			for c := range Channels {
				value := float64(pixels[(y*Side+x)*Channels+c])
				means[(y/factor*side+x/factor)*Channels+c] += value / float64(factor*factor)
			}
		}
	}
	return means
}

// enlarge returns an image [32/factor, 32/factor, 3] at 32×32 pixels. The value of each pixel is
// interpolated at its centre between the four nearest centres of the smaller image.
func enlarge(low []float64, factor int) []float64 {
	side := Side / factor
	// The centre of column x lies between the centres of the columns before and after of the
	// smaller image, at a part of the way from the first to the second. The same holds for rows.
	neighbours := func(x int) (before, after int, part float64) {
		position := (float64(x)+0.5)/float64(factor) - 0.5
		floor := math.Floor(position)
		return max(int(floor), 0), min(int(floor)+1, side-1), position - floor
	}
	large := make([]float64, 0, imageBytes)
	for y := range Side {
		top, bottom, down := neighbours(y)
		for x := range Side {
			left, right, across := neighbours(x)
			for c := range Channels {
				value := func(y, x int) float64 { return low[(y*side+x)*Channels+c] }
				large = append(large,
					(1-down)*((1-across)*value(top, left)+across*value(top, right))+
						down*((1-across)*value(bottom, left)+across*value(bottom, right)))
			}
		}
	}
	return large
}

// Image returns image i in the standard library's type.
func (m *Images) Image(i int) *image.RGBA {
	p := m.Pixels[i*imageBytes : (i+1)*imageBytes]
	picture := image.NewRGBA(image.Rect(0, 0, Side, Side))
	for k := range Side * Side {
		picture.SetRGBA(k%Side, k/Side, color.RGBA{p[3*k], p[3*k+1], p[3*k+2], 255})
	}
	return picture
}
