package figure

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"strings"

	"momentum/internal/rundir"

	"golang.org/x/image/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	dpi = 200 // of the PNG
	// around the picture, below the title, and half of what is between two panels
	margin    = vg.Length(7)
	strip     = vg.Length(15)  // height of a row of text above a panel
	titleSize = vg.Length(9.5) // of the picture's title
	noteSize  = vg.Length(7.5) // of the note
	noteLine  = vg.Length(10)  // from one line of the note to the next
	smallest  = vg.Length(40)  // side of what a panel's axes enclose
	below     = vg.Length(27)  // height of the ticks' and the axis' labels below a panel
)

// Picture is a page of panels in a grid. All panels are equally large, and the
// axes of a row and of a column line up.
//
// Texts may hold what Liberation Sans has, among it Greek letters, ℓ, ∂, ∑, ‖, ×
// and ≤, but no ∇, ⟨, ⟩, ∈, ∝, ≫ or 𝒢; and ⁰ to ⁹, ⁺, ⁻, ᵀ, ⁿ, ₀ to ₉, ₊, ₋, ᵢ, ⱼ,
// ₖ, ᵣ and ₜ.
type Picture struct {
	Title  string    // in bold letters at the top, made smaller if it is too long; may be empty
	Note   string    // in small letters below the panels, broken into lines; may be empty
	Panels [][]Panel // rows from top to bottom; a row may have fewer panels than another

	// Inches. 0: 3.6 for each column, and as high as gives each panel 2.
	Width, Height float64
}

// Panel is a rectangle with two axes and what is drawn in it, from the bottom
// up: Heat, the bands and the curves of Lines, of which the first lies on top,
// Points, of which the last lies on top, Guides and Marks. What lies outside of
// the axes is cut off. The legend stands above the panel and names Lines,
// Points and the missing cells of Heat.
type Panel struct {
	Title  string // above the panel, on the left, such as "(a) training loss"
	X, Y   Axis
	Lines  []Line
	Points []Points
	Heat   *Heat // nil: none
	// thin lines over everything else, with their names at their ends instead of in the legend
	Guides []Line
	Marks  []Mark
}

// Line is a curve through points in the order given, and perhaps a band around
// it. Where a value is not finite, or not positive on a logarithmic axis, the
// curve and the band are broken. A curve of up to 40 points that is not dashed,
// and any point between two breaks, gets dots.
type Line struct {
	Name      string      // in the legend; empty: in none
	Color     color.Color // nil: by the place in Lines, Blue for the first; gray for guides
	X, Y      []float64
	Low, High []float64 // the translucent band reaches from Low to High; both nil: no band
	Dashed    bool
}

// Points are dots that no line connects.
type Points struct {
	Name   string      // in the legend; empty: in none
	Color  color.Color // nil: by the place in Points, Blue for the first
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

// Heat is a map of cells, whose colors stand for numbers.
type Heat struct {
	// centers of the cells, increasing; cells meet halfway, on a logarithmic axis at the geometric
	// mean
	X, Y []float64
	// [len(Y)][len(X)]; cells that are not finite (on a logarithmic scale: nor positive) are
	// hatched
	Z     [][]float64
	Label string // of the color scale
	// ends of the color scale, whose colors stand for what is beyond them too; both 0: from Z
	Low, High float64
	Log       bool   // of the color scale
	Missing   string // what the legend calls hatched cells; empty: "diverged"
}

// Mark is a dashed vertical line with a text above the panel.
type Mark struct {
	X     float64
	Label string      // may be empty
	Color color.Color // of the line and the text; nil: gray
}

// Category is a color that tells curves apart: of Okabe and Ito (2008), whose
// colors color-blind readers can tell apart.
type Category uint

// The colors of Okabe and Ito. Yellow and Sky are faint on white paper: for
// areas rather than for lines.
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

// Write draws base.svg and base.png (200 dots per inch), each of which appears
// whole or not at all. The same picture gives the same bytes.
func (p Picture) Write(base string) error {
	l, err := p.layout()
	if err != nil {
		return fmt.Errorf("figure: %s: %w", base, err)
	}
	svg := vgsvg.New(l.width, l.height)
	l.draw(draw.New(svg))
	err = rundir.WriteFile(base+".svg", func(w io.Writer) error {
		var b bytes.Buffer
		if _, err := svg.WriteTo(&b); err != nil {
			return err
		}
		// Where Liberation is not installed, Arial and Helvetica have the same widths.
		_, err := w.Write(bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;"),
			[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;")))
		return err
	})
	if err != nil {
		return err
	}
	png := vgimg.NewWith(vgimg.UseWH(l.width, l.height), vgimg.UseDPI(dpi))
	l.draw(draw.New(png))
	return rundir.WriteFile(base+".png", func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: png}.WriteTo(w)
		return err
	})
}

// layout says where things are. From top to bottom: the title, and for each row
// of panels its strips and the panels; then the note. The strips hold the
// panels' titles, the legends and the texts of marks, which so never cover a
// curve.
type layout struct {
	Picture
	width, height vg.Length
	note          []string
	strips        []vg.Length // [rows]
	// [columns] what the axes' labels and the color scales need beside a panel
	left, right []vg.Length
	cell        vg.Point // size of a panel with its labels
}

// layout checks the picture, and replaces what is left to the data in its axes
// and scales.
func (p Picture) layout() (*layout, error) {
	l := &layout{Picture: p}
	l.Panels = make([][]Panel, len(p.Panels))
	for r, row := range p.Panels {
		for i, q := range row {
			q, err := q.resolved()
			if err != nil {
				return nil, fmt.Errorf("row %d, panel %d: %w", r+1, i+1, err)
			}
			l.Panels[r] = append(l.Panels[r], q)
			if i == len(l.left) {
				l.left, l.right = append(l.left, 0), append(l.right, 0)
			}
			left, right := q.sides()
			l.left[i], l.right[i] = max(l.left[i], left), max(l.right[i], right)
		}
	}
	rows, columns := len(l.Panels), len(l.left)
	if columns == 0 {
		return nil, fmt.Errorf("no panels, want at least one")
	}

	l.width = vg.Length(p.Width) * vg.Inch
	if p.Width == 0 {
		l.width = 3.6 * vg.Length(columns) * vg.Inch
	}
	l.note = wrap(textStyle(noteSize, draw.XLeft, draw.YTop), p.Note, l.width-2*margin)
	l.cell.X = (l.width-2*margin)/vg.Length(columns) -
		2*margin*vg.Length(columns-1)/vg.Length(columns)
	used := l.top() + l.bottom() + 2*margin*vg.Length(rows-1)
	for _, row := range l.Panels {
		most := vg.Length(0)
		for i, q := range row {
			most = max(most, q.strips(l.left[i], l.cell.X-l.left[i]-l.right[i]))
		}
		l.strips = append(l.strips, most)
		used += most
	}
	l.height = vg.Length(p.Height) * vg.Inch
	if p.Height == 0 {
		l.height = used + (2*vg.Inch+below)*vg.Length(rows)
	}
	l.cell.Y = (l.height - used) / vg.Length(rows)

	for i := range l.left {
		if x, y := l.cell.X-l.left[i]-l.right[i],
			l.cell.Y-below; !(x >= smallest && y >= smallest && l.width+l.height < 200*vg.Inch) {
			return nil, fmt.Errorf("%.3g by %.3g inches leave panels of %.0f by %.0f points, "+
				"want at least %.0f: choose another size",
				l.width/vg.Inch, l.height/vg.Inch, x, y, smallest)
		}
	}
	return l, nil
}

// top is the height of what is above the first row's strips.
func (l *layout) top() vg.Length {
	if l.Title == "" {
		return margin
	}
	return 2*margin + l.titleStyle().Font.Size
}

func (l *layout) titleStyle() text.Style {
	style := textStyle(titleSize, draw.XCenter, draw.YTop)
	style.Font.Weight = font.WeightBold
	return fit(style, l.Title, l.width-2*margin)
}

// bottom is the height of what is below the last row's panels.
func (l *layout) bottom() vg.Length {
	if len(l.note) == 0 {
		return margin
	}
	return 2*margin + noteLine*vg.Length(len(l.note))
}

func (l *layout) draw(canvas draw.Canvas) {
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Rectangle.Path())
	canvas.FillText(l.titleStyle(), vg.Point{X: canvas.Center().X, Y: canvas.Max.Y - margin},
		l.Title)

	top := canvas.Max.Y - l.top()
	var panels []panel
	for r, row := range l.Panels {
		top -= l.strips[r]
		for i, q := range row {
			c := canvas
			c.Min = vg.Point{X: canvas.Min.X + margin + (l.cell.X+2*margin)*vg.Length(i), Y: top -
				l.cell.Y}
			c.Max = c.Min.Add(l.cell)
			panels = append(panels, newPanel(c, q, l.left[i], l.right[i], l.strips[r]))
		}
		top -= l.cell.Y + 2*margin
	}
	for _, p := range panels {
		p.content()
	}
	for _, p := range panels {
		p.marks()
	}
	style := textStyle(noteSize, draw.XLeft, draw.YTop)
	style.Color = markColor
	for i, line := range l.note {
		canvas.FillText(style, vg.Point{X: margin, Y: l.bottom() - margin - noteLine*vg.Length(i)},
			line)
	}
}

// wrap breaks the text into lines that fit, between words.
func wrap(style text.Style, s string, room vg.Length) []string {
	var lines []string
	for paragraph := range strings.Lines(s) {
		line := ""
		for _, word := range strings.Fields(paragraph) {
			if line != "" && style.Width(line+" "+word) > room {
				lines, line = append(lines, line), ""
			}
			line = strings.TrimSpace(line + " " + word)
		}
		lines = append(lines, line)
	}
	return lines
}

// resolved checks the panel and sets the ends of its axes and of its color
// scale that are left to the data.
func (p Panel) resolved() (Panel, error) {
	for _, a := range []struct {
		name string
		Axis
	}{{"x", p.X}, {"y", p.Y}} {
		if err := a.check(); err != nil {
			return p, fmt.Errorf("%s axis: %w", a.name, err)
		}
	}
	for _, lines := range [][]Line{p.Lines, p.Guides} {
		for _, l := range lines {
			n := len(l.X)
			if len(l.Y) != n || (len(l.Low) != n || len(l.High) != n) &&
				(l.Low != nil || l.High != nil) {
				return p, fmt.Errorf("line %q: %d, %d, %d and %d values in X, Y, Low and High, "+
					"want as many in each, or none in Low and High",
					l.Name, n, len(l.Y), len(l.Low), len(l.High))
			}
		}
	}
	for _, q := range p.Points {
		if len(q.X) != len(q.Y) {
			return p, fmt.Errorf("points %q: %d and %d values in X and Y, want as many in each",
				q.Name, len(q.X), len(q.Y))
		}
	}
	if p.Heat != nil {
		h, err := p.Heat.resolved(p.X.Log, p.Y.Log)
		if err != nil {
			return p, fmt.Errorf("heat: %w", err)
		}
		p.Heat = h
	}
	p.X, p.Y = p.axes()
	return p, nil
}
