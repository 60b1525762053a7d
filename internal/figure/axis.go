package figure

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Axis is a side of a panel.
type Axis struct {
	Label     string
	Low, High float64 // both 0: as wide as the data and the guides need
	Log       bool    // values that are not positive are left out
}

// tiny is the least distance between the ends of an axis, and half the least end
// of a logarithmic one: the numbers below have fewer digits.
const tiny = 1e-300

// check refuses ends between which nothing can be drawn.
func (a Axis) check() error {
	length := a.High - a.Low
	switch {
	case a.fromData():
	case !(length > tiny+1e-9*max(math.Abs(a.Low), math.Abs(a.High))) || math.IsInf(length, 0):
		return fmt.Errorf("from %g to %g, want low < high, finite and not almost equal", a.Low,
			a.High)
	case a.Log && a.Low <= 0:
		return fmt.Errorf("logarithmic from %g to %g, want low > 0", a.Low, a.High)
	}
	return nil
}

// fromData says whether the ends are left to the data.
func (a Axis) fromData() bool { return a.Low == 0 && a.High == 0 }

// shows says whether v has a place on the axis or its continuation.
func (a Axis) shows(v float64) bool { return finite(v) && (v > 0 || !a.Log) }

// at is the place of v, 0 for Low and 1 for High, and at most so far away that
// lengths in points stay sane.
func (a Axis) at(v float64) float64 {
	low, high := a.Low, a.High
	if a.Log {
		low, high, v = math.Log(low), math.Log(high), math.Log(v)
	}
	return max(-1e6, min((v-low)/(high-low), 1e6))
}

// spanning is the axis whose ends, if they are left to the data, span those of
// the values that it shows: exactly, or with a little more on both sides, but
// not below zero if no value is. A single value gets more in any case.
func (a Axis) spanning(values []float64, exactly bool) Axis {
	if !a.fromData() {
		return a
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if a.shows(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	if low > high { // none
		a.Low, a.High = 0, 1
		if a.Log {
			a.Low = 0.1
		}
		return a
	}
	if a.Log {
		if !exactly || high/low < 1+1e-6 {
			low, high = low/1.1, high*1.1
		}
		a.Low = max(low, 2*tiny)
		a.High = min(max(high, 4*tiny), math.MaxFloat64)
		return a
	}
	// the difference stays finite
	low, high = max(low, -math.MaxFloat64/4), min(high, math.MaxFloat64/4)
	more := 0.05 * (high - low)
	if largest := max(math.Abs(low), math.Abs(high)); largest < tiny {
		more = 1
	} else if high-low <= 1e-6*largest {
		more = 0.1*largest + tiny
	} else if exactly {
		more = 0
	}
	a.Low, a.High = low-more, high+more
	if low >= 0 && high > tiny {
		a.Low = max(a.Low, 0)
	}
	return a
}

// axes are the panel's axes with ends. A heat map sets them to its edges.
// Otherwise x spans exactly the curves, or with a little more the points, and y
// a little more than what there is within the ends of x.
func (p Panel) axes() (x, y Axis) {
	if p.Heat != nil {
		return p.X.spanning(edges(p.Heat.X, p.X.Log), true),
			p.Y.spanning(edges(p.Heat.Y, p.Y.Log), true)
	}
	var xs, ys []float64
	add := func(x, y []float64) { xs, ys = append(xs, x...), append(ys, y...) }
	for _, lines := range [][]Line{p.Lines, p.Guides} {
		for _, l := range lines {
			add(l.X, l.Y)
			if l.Low != nil {
				add(l.X, l.Low)
				add(l.X, l.High)
			}
		}
	}
	for _, q := range p.Points {
		add(q.X, q.Y)
	}
	var shown []float64
	for i, v := range xs {
		if p.Y.shows(ys[i]) {
			shown = append(shown, v)
		}
	}
	x = p.X.spanning(shown, len(p.Points) == 0)
	shown = nil
	for i, v := range ys {
		if x.shows(xs[i]) && x.Low <= xs[i] && xs[i] <= x.High {
			shown = append(shown, v)
		}
	}
	return x, p.Y.spanning(shown, false)
}

// ticks has as many labels as fit beside each other along the length, seven at
// most.
func (a Axis) ticks(length vg.Length, size func(label string) vg.Length) []plot.Tick {
	for steps := 6; ; steps-- {
		ticks := linearTicks(a.Low, a.High, steps)
		if a.Log {
			ticks = logTicks(a.Low, a.High, steps)
		}
		end, fits := vg.Length(math.Inf(-1)), true
		for _, t := range ticks {
			if !t.IsMinor() {
				at, half := vg.Length(a.at(t.Value))*length, size(t.Label)/2
				fits = fits && end <= at-half
				end = at + half
			}
		}
		if fits || steps == 1 {
			return ticks
		}
	}
}

func tickLength(t plot.Tick) vg.Length {
	if t.IsMinor() {
		return tickLine / 2
	}
	return tickLine
}

// labelWidth is the width of a tick's label, with room to the next.
func labelWidth(label string) vg.Length {
	return textStyle(tickSize, draw.XLeft, draw.YTop).Width(label) + gap
}

// linearTicks has at most one label more than steps: multiples of 1, 2 or 5
// times a power of ten.
func linearTicks(low, high float64, steps int) []plot.Tick {
	most := float64(steps)
	step := math.Pow10(int(math.Floor(math.Log10((high - low) / most))))
	for _, factor := range []float64{2, 2.5, 2} { // 1, 2, 5, 10
		if (high-low)/step > most {
			step *= factor
		}
	}
	// Enough digits to tell neighbors apart.
	digits := max(6, 1+int(math.Ceil(math.Log10(max(math.Abs(low), math.Abs(high))/step))))
	var ticks []plot.Tick
	start := math.Ceil(low/step - 1e-9)
	for i := range steps + 1 {
		v := (start + float64(i)) * step
		if v > high+1e-9*step {
			break
		}
		label := strings.ReplaceAll(strconv.FormatFloat(v, 'g', digits, 64), "-", "−")
		ticks = append(ticks, plot.Tick{Value: v, Label: label})
	}
	return ticks
}

// logTicks labels the powers of ten if there are two of them to see, else 1, 2
// and 5 times them (with less room: 1 and 3 times, or only 1), and for less than a factor
// of five whatever is round.
func logTicks(low, high float64, steps int) []plot.Tick {
	if high/low < 5 {
		return linearTicks(low, high, steps)
	}
	from, to := int(math.Floor(math.Log10(low))), int(math.Floor(math.Log10(high)))
	every := 1 + (to-from)/(steps+1) // the powers that get a label
	plain := from >= -3 && to <= 3
	round := map[int]bool{1: true, 2: steps >= 4, 3: steps == 2 || steps == 3, 5: steps >= 4}
	var ticks []plot.Tick
	for e := from; e <= to; e++ {
		for digit := 1; digit <= 9; digit++ {
			v := float64(digit) * math.Pow10(e)
			if v < low || v > high {
				continue
			}
			label := ""
			switch {
			case high/low < 100 && round[digit]:
				label = strconv.FormatFloat(v, 'g', 6, 64)
			case high/low >= 100 && digit == 1 && e%every == 0 && plain:
				label = strconv.FormatFloat(v, 'g', 6, 64)
			case high/low >= 100 && digit == 1 && e%every == 0:
				label = "10" + exponent(e)
			}
			if label != "" || every == 1 {
				ticks = append(ticks, plot.Tick{Value: v, Label: label})
			}
		}
	}
	return ticks
}

// exponent is the number in raised characters.
func exponent(e int) string {
	raised := []rune(superscripts)
	return strings.Map(func(r rune) rune {
		if r == '-' {
			return '⁻'
		}
		return raised[r-'0']
	}, strconv.Itoa(e))
}
