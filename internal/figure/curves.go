// Package figure turns run folders into pictures. It reads files only, so any
// picture can be drawn again later, with the same bytes.
package figure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"regexp"

	"momentum/internal/rundir"

	"golang.org/x/image/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	width, height = 7.2 * vg.Inch, 2.9 * vg.Inch // as wide as a page of two columns
	dpi           = 200                          // of the PNG
)

// Blue and vermilion of Okabe and Ito (2008), which colour-blind readers can
// tell apart and which differ in brightness on a black-and-white print.
var (
	trainColor = color.RGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}
	testColor  = color.RGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff}
	markColor  = color.Gray{Y: 0x60}
	gridColor  = color.Gray{Y: 0xe4}
)

// Curves draws dir/curves.svg and dir/curves.png from dir/metrics.jsonl and
// dir/config.json: on the left the training loss on a logarithmic scale, on the
// right the training and the test accuracy in percent, both against epochs.
//
// From each row it takes the values epoch, loss, train_accuracy and
// test_accuracy as far as they are there. A loss that is not finite and
// positive and an accuracy outside [0, 1] are left out; the first loss that is
// not finite is marked by a dashed line. The title is derived.title of config.json, or else
// the folder's name without its hash.
func Curves(dir string) error {
	path := filepath.Join(dir, "metrics.jsonl")
	rows, err := rundir.ReadMetrics(path)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("figure: %s: no rows, want at least one", path)
	}
	c := newCurves(rows)
	if c.title, err = title(dir); err != nil {
		return err
	}

	svg := vgsvg.New(width, height)
	c.draw(draw.New(svg))
	err = rundir.WriteFile(filepath.Join(dir, "curves.svg"), func(w io.Writer) error {
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
	png := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))
	c.draw(draw.New(png))
	return rundir.WriteFile(filepath.Join(dir, "curves.png"), func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: png}.WriteTo(w)
		return err
	})
}

var hashSuffix = regexp.MustCompile("-[0-9a-f]{10}$")

func title(dir string) (string, error) {
	_, derived, _, err := rundir.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var d struct{ Title string }
	if json.Unmarshal(derived, &d) == nil && d.Title != "" {
		return d.Title, nil
	}
	dir, err = filepath.Abs(dir)
	return hashSuffix.ReplaceAllString(filepath.Base(dir), ""), err
}

// curves is what the picture shows.
type curves struct {
	title         string
	first, last   float64 // epochs
	loss          plotter.XYs
	train, test   plotter.XYs // accuracies, percent
	diverged      bool
	divergedStep  int64
	divergedEpoch float64
}

func newCurves(rows []rundir.Row) curves {
	var c curves
	for _, r := range rows {
		epoch, ok := r.Get("epoch")
		if !ok || !finite(epoch) {
			continue
		}
		c.first, c.last = min(c.first, epoch), max(c.last, epoch)
		if loss, ok := r.Get("loss"); ok && !finite(loss) && !c.diverged {
			c.diverged, c.divergedStep, c.divergedEpoch = true, r.Step, epoch
		} else if ok && finite(loss) && loss > 0 {
			c.loss = append(c.loss, plotter.XY{X: epoch, Y: loss})
		}
		if a, ok := r.Get("train_accuracy"); ok && 0 <= a && a <= 1 {
			c.train = append(c.train, plotter.XY{X: epoch, Y: 100 * a})
		}
		if a, ok := r.Get("test_accuracy"); ok && 0 <= a && a <= 1 {
			c.test = append(c.test, plotter.XY{X: epoch, Y: 100 * a})
		}
	}
	if c.last == c.first {
		c.last = c.first + 1
	}
	return c
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// lossAxis spans the losses and a tenth more on both sides, as far as float64
// goes.
func (c *curves) lossAxis() axis {
	a := axis{label: "training loss (nats)", low: 0.1, high: 1, log: true}
	if len(c.loss) > 0 {
		_, _, low, high := plotter.XYRange(c.loss)
		a.low, a.high = max(low/1.1, math.SmallestNonzeroFloat64), min(high*1.1, math.MaxFloat64)
	}
	return a
}

const (
	margin = vg.Length(7)  // around the picture and below the title
	strip  = vg.Length(15) // height of what stands above the panels
)

// draw lays the picture out from top to bottom: the title, a strip with the
// legend and the text of the mark, which so never cover a curve, and the panels.
func (c *curves) draw(canvas draw.Canvas) {
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Rectangle.Path())

	style := textStyle(9.5, draw.XCenter, draw.YTop)
	style.Font.Weight = font.WeightBold
	if room, w := canvas.Size().X-2*margin, style.Width(c.title); w > room {
		style.Font.Size *= room / w
	}
	canvas.FillText(style, vg.Point{X: canvas.Center().X, Y: canvas.Max.Y - margin}, c.title)

	body := draw.Crop(canvas, margin, -margin, margin, -(2*margin + style.Font.Size + strip))
	middle := body.Size().X / 2
	epochs := axis{label: "epoch", low: c.first, high: c.last}
	loss := newPanel(draw.Crop(body, 0, -middle-margin, 0, 0), epochs, c.lossAxis())
	accuracy := newPanel(draw.Crop(body, middle+margin, 0, 0, 0), epochs, axis{label: "accuracy (%)", high: 100})
	loss.curve(c.loss, trainColor)
	accuracy.curve(c.test, testColor)
	accuracy.curve(c.train, trainColor)
	accuracy.legend(entry{"train", trainColor}, entry{"test", testColor})
	if c.diverged {
		loss.mark(c.divergedEpoch, fmt.Sprintf("diverged at step %d", c.divergedStep))
		accuracy.mark(c.divergedEpoch, "")
	}
}
