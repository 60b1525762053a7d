package figure

import (
	"context"
	"fmt"
	"image/color"
	"io"

	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"momentum/internal/durable"
)

const dpi = 200 // of the PNG

// Picture is a page of panels in a grid. All panels, with their labels, have the same size, and the
// axes of each row and of each column line up.
//
// Texts may contain the characters of Liberation Sans, which include Greek letters, ℓ, ∂, ∑, ‖, ×
// and ≤, but not ⟨, ⟩, ∈, ∝, ≫ and 𝒢. They may also contain ⁰ to ⁹, ⁺, ⁻, ᵀ, ⁿ, ₀ to ₉, ₊, ₋, ᵢ,
// ⱼ, ₖ, ᵣ and ₜ. The eff of η_eff becomes an index, and ∇ grad.
type Picture struct {
	Title  string    // in bold at the top, reduced to the width of the page; may be empty
	Note   string    // in small letters below the panels, broken into lines; may be empty
	Panels [][]Panel // rows from top to bottom, which may have different lengths

	// OneLegend draws one legend of all panels below the title, in place of one above each panel.
	// Names that occur more than once are listed once.
	OneLegend bool

	// Inches. 0: a width of 3.6 per column, and axes 2 high in each row.
	Width, Height float64
}

// Panel is a rectangle with two axes and its contents. From the bottom up these are Heat, the bands
// and the curves of Lines, of which the first lies on top, Points, of which the last lies on top,
// Guides and Marks. The axes cut off what lies outside. The legend stands above the panel and names
// Lines, Points and the hatched cells of Heat.
type Panel struct {
	Title  string // above the panel, on the left, such as "(a) training loss"
	X, Y   Axis
	Lines  []Line
	Points []Points
	Heat   *Heat  // nil: no heat map
	Guides []Line // thin lines over all else; names stand at their ends, not in the legend
	Marks  []Mark
}

// Line is a curve through points in the given order, with an optional band. The curve and the band
// break where a value is not finite, or not positive on a logarithmic axis. Dots mark the points of
// a curve of up to 40 points, but for a dashed one of two, and any point between two breaks.
type Line struct {
	Name      string      // in the legend; empty: not listed
	Color     color.Color // nil: by the index in Lines, Blue for the first; gray for guides
	X, Y      []float64
	Low, High []float64 // ends of the translucent band; both nil: no band
	Dashed    bool

	// Bars from Low to High stand at each point in place of the band. Lines with bars are drawn
	// next to each other, some points of the page apart, and all their points have dots.
	Bars bool
}

// Points are dots without a line between them.
type Points struct {
	Name   string      // in the legend; empty: not listed
	Color  color.Color // nil: by the index in Points, Blue for the first
	Shape  Shape
	Filled bool // false: outlines
	X, Y   []float64
}

// Shape is the shape of a dot.
type Shape int

// The shapes of dots.
const (
	Circle Shape = iota
	Square
	Triangle
	Diamond
)

// Heat is a map of cells whose colors stand for numbers.
type Heat struct {
	// X and Y are the centers of the cells, in increasing order. Cells meet halfway between
	// centers, on a logarithmic axis at the geometric mean.
	X, Y []float64

	// Z has len(Y) rows of len(X) values. The cells of values that are not finite, or not positive
	// on a logarithmic scale, are hatched, and named "diverged" in the legend.
	Z [][]float64

	// The color scale. Values beyond its ends get the colors of the ends.
	Label     string
	Low, High float64 // both 0: the extremes of Z
	Log       bool
}

// Mark is a dashed vertical line with a text above the panel.
type Mark struct {
	X     float64
	Label string      // may be empty
	Color color.Color // of the line and the text; nil: gray
}

// Category is a color of Okabe and Ito (2008), whose colors color-blind readers can tell apart.
type Category uint

// The colors of Okabe and Ito. Yellow and Sky are faint on white paper: use them for areas rather
// than for lines.
const (
	Blue Category = iota
	Vermilion
	Green
	Purple
	Orange
	Sky
	Black
	Yellow
)

// RGBA implements color.Color.
func (c Category) RGBA() (r, g, b, a uint32) {
	return [...]color.RGBA{
		Blue:      {R: 0x00, G: 0x72, B: 0xb2, A: 0xff},
		Vermilion: {R: 0xd5, G: 0x5e, B: 0x00, A: 0xff},
		Green:     {R: 0x00, G: 0x9e, B: 0x73, A: 0xff},
		Purple:    {R: 0xcc, G: 0x79, B: 0xa7, A: 0xff},
		Orange:    {R: 0xe6, G: 0x9f, B: 0x00, A: 0xff},
		Sky:       {R: 0x56, G: 0xb4, B: 0xe9, A: 0xff},
		Black:     {A: 0xff},
		Yellow:    {R: 0xf0, G: 0xe4, B: 0x42, A: 0xff},
	}[c%(Yellow+1)].RGBA()
}

// Write draws base.svg and base.png (200 dots per inch). Each file appears completely or not at
// all. The same picture gives the same bytes. If the context ends first, so does Write.
func (p Picture) Write(ctx context.Context, base string) error {
	l, err := p.layout(ctx)
	if err != nil {
		return fmt.Errorf("figure: %s: %w", base, err)
	}
	svg := &svgCanvas{Canvas: vgsvg.New(l.width, l.height)}
	l.draw(draw.New(svg))
	err = durable.WriteFile(base+".svg", func(w io.Writer) error {
		_, err := svg.WriteTo(w)
		return err
	})
	if err != nil {
		return err
	}
	png := vgimg.NewWith(vgimg.UseWH(l.width, l.height), vgimg.UseDPI(dpi))
	l.draw(draw.New(&curveCanvas{pngCanvas: pngCanvas{png}, ctx: ctx}))
	if err := stopped(ctx); err != nil {
		return fmt.Errorf("figure: %s: %w", base, err)
	}
	return durable.WriteFile(base+".png", func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: png}.WriteTo(w)
		return err
	})
}

// stopped is the error of a context that has ended.
func stopped(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	default:
		return nil
	}
}
