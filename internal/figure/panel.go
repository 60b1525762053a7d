package figure

import (
	"cmp"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	// of an axis' label, a panel's title, the legend and marks, points
	labelSize = 9.0
	tickSize  = 8.0            // of a tick's label
	guideSize = 7.0            // of a guide's name
	tickLine  = vg.Length(3.5) // length of a labeled tick
	sample    = vg.Length(16)  // width of a curve's picture in the legend
	// between that and the name; three times as much between two names
	gap       = vg.Length(4)
	columns   = 720                    // more than a panel of the PNG is wide, in pixels
	few       = 40                     // points of a curve up to which each gets a dot
	bandAlpha = 0x38                   // of 0xff
	yMiddle   = draw.YAlignment(-0.38) // of digits; draw.YCenter counts the room for descenders
)

var (
	markColor  = color.Gray{Y: 0x60}
	gridColor  = color.Gray{Y: 0xe4}
	frameStyle = draw.LineStyle{Color: color.Black, Width: 0.6}
)

// panel is a Panel on paper. It is drawn here and not by plot.Plot, which moves
// its axes by the size of the labels and dots: panels side by side would not
// line up.
type panel struct {
	draw.Canvas // what the axes enclose
	Panel       Panel
	left, above vg.Length // width of what is left of the axes, height of the texts above
}

// newPanel draws the axes into the canvas: x below, y on the left.
func newPanel(c draw.Canvas, of Panel, left, right, above vg.Length) panel {
	p := panel{draw.Crop(c, left, -right, below, 0), of, left, above}
	x, y := of.X, of.Y

	gray := draw.LineStyle{Color: gridColor, Width: 0.6}
	style := textStyle(tickSize, draw.XRight, yMiddle)
	for _, t := range y.ticks(p.Size().Y, func(string) vg.Length { return 1.2 * tickSize }) {
		at := p.Y(y.at(t.Value))
		if !t.IsMinor() {
			p.StrokeLine2(gray, p.Min.X, at, p.Max.X, at)
			p.FillText(style, vg.Point{X: p.Min.X - tickLine - 2, Y: at}, t.Label)
		}
		p.StrokeLine2(frameStyle, p.Min.X-tickLength(t), at, p.Min.X, at)
	}
	style = textStyle(tickSize, draw.XCenter, draw.YTop)
	for _, t := range x.ticks(p.Size().X, labelWidth) {
		at := vg.Point{X: p.X(x.at(t.Value)), Y: p.Min.Y - tickLine}
		p.StrokeLine2(frameStyle, at.X, p.Min.Y-tickLength(t), at.X, p.Min.Y)
		p.FillText(style, vg.Point{X: at.X, Y: at.Y - 1}, t.Label)
	}
	p.StrokeLines(frameStyle, []vg.Point{{X: p.Min.X, Y: p.Max.Y}, p.Min, {X: p.Max.X, Y: p.Min.Y}})

	style = fit(textStyle(labelSize, draw.XCenter, draw.YBottom), x.Label, p.Size().X+right)
	p.FillText(style, vg.Point{X: p.Center().X, Y: c.Min.Y}, x.Label)
	style = fit(textStyle(labelSize, draw.XCenter, draw.YTop), y.Label, c.Size().Y)
	style.Rotation = math.Pi / 2
	p.FillText(style, vg.Point{X: c.Min.X, Y: p.Center().Y}, y.Label)
	return p
}

// sides are the widths of what stands on the left and on the right of the axes.
func (p Panel) sides() (left, right vg.Length) {
	left, right = 44, 8
	for _, t := range p.Y.ticks(vg.Inch, func(string) vg.Length { return 0 }) {
		left = max(left, labelSize*1.3+labelWidth(t.Label)+tickLine+2)
	}
	if p.Heat != nil {
		right = p.Heat.scaleWidth()
	}
	return left, right
}

// content draws what the panel shows, all but the marks, and the text above it.
func (p panel) content() {
	if p.Panel.Heat != nil {
		p.heat(p.Panel.Heat)
	}
	for i, l := range slices.Backward(p.Panel.Lines) {
		p.band(l, colorOf(l.Color, i))
	}
	for i, l := range slices.Backward(p.Panel.Lines) {
		p.curve(l, colorOf(l.Color, i))
	}
	for i, q := range p.Panel.Points {
		for j := range q.X {
			at := p.point(q.X[j], q.Y[j])
			if p.shows(q.X[j], q.Y[j]) && p.Contains(at) {
				dot(p.Canvas, q.Shape, q.Filled, colorOf(q.Color, i), at)
			}
		}
	}
	p.guides()
	p.legend()
}

// colorOf is the color, or the one of the place in a list.
func colorOf(c color.Color, place int) color.Color {
	if c == nil {
		return Category(place)
	}
	return c
}

func (p panel) point(x, y float64) vg.Point {
	return vg.Point{X: p.X(p.Panel.X.at(x)), Y: p.Y(p.Panel.Y.at(y))}
}

func (p panel) shows(x, y float64) bool { return p.Panel.X.shows(x) && p.Panel.Y.shows(y) }

// runs are the stretches [from, to) of 0 ... n−1 in which ok is true.
func runs(n int, ok func(i int) bool) [][2]int {
	var all [][2]int
	for from, to := 0, 0; from < n; from = to + 1 {
		for to = from; to < n && ok(to); to++ {
		}
		if from < to {
			all = append(all, [2]int{from, to})
		}
	}
	return all
}

// path is where points from to to−1 are.
func (p panel) path(x, y []float64, from, to int) []vg.Point {
	points := make([]vg.Point, 0, to-from)
	for i := from; i < to; i++ {
		points = append(points, p.point(x[i], y[i]))
	}
	return thin(points, p.Min.X, p.Max.X, columns)
}

// band fills what lies between l.Low and l.High.
func (p panel) band(l Line, c color.Color) {
	ok := func(i int) bool { return p.shows(l.X[i], l.Low[i]) && p.shows(l.X[i], l.High[i]) }
	for _, run := range runs(len(l.Low), ok) {
		border, back := p.path(l.X, l.Low, run[0], run[1]), p.path(l.X, l.High, run[0], run[1])
		slices.Reverse(back)
		if border = p.ClipPolygonXY(append(border, back...)); len(border) > 2 {
			p.FillPolygon(translucent(c), border)
		}
	}
}

// curve draws a line, with dots where there are few points, because a single
// one makes no line.
func (p panel) curve(l Line, c color.Color) {
	style := lineStyle(l, c, 1.25)
	for _, run := range runs(len(l.X), func(i int) bool { return p.shows(l.X[i], l.Y[i]) }) {
		points := p.path(l.X, l.Y, run[0], run[1])
		p.StrokeLines(style, p.clip(points)...)
		if (len(l.X) > few || l.Dashed) && len(points) > 1 {
			continue
		}
		for _, at := range points {
			if p.Contains(at) {
				p.DrawGlyphNoClip(draw.GlyphStyle{Color: c, Radius: 1.6, Shape: draw.CircleGlyph{}},
					at)
			}
		}
	}
}

// clip cuts off what is outside. A line inside stays what it is, to the bit.
func (p panel) clip(points []vg.Point) [][]vg.Point {
	if !slices.ContainsFunc(points, func(at vg.Point) bool { return !p.Contains(at) }) {
		return [][]vg.Point{points}
	}
	return p.ClipLinesXY(points)
}

func lineStyle(l Line, c color.Color, width vg.Length) draw.LineStyle {
	style := draw.LineStyle{Color: c, Width: width}
	if l.Dashed {
		style.Dashes = []vg.Length{3.5, 1.75}
	}
	return style
}

func translucent(c color.Color) color.Color {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	n.A = bandAlpha
	return n
}

// dot draws a dot about 4 points wide.
func dot(c draw.Canvas, s Shape, filled bool, of color.Color, at vg.Point) {
	const r = vg.Length(1.9)
	corners := map[Shape][]vg.Point{
		Square:   {{X: -0.9, Y: -0.9}, {X: 0.9, Y: -0.9}, {X: 0.9, Y: 0.9}, {X: -0.9, Y: 0.9}},
		Triangle: {{X: -1.1, Y: -0.8}, {X: 1.1, Y: -0.8}, {X: 0, Y: 1.2}},
		Diamond:  {{X: -1.2, Y: 0}, {X: 0, Y: -1.2}, {X: 1.2, Y: 0}, {X: 0, Y: 1.2}},
	}[s]
	var path vg.Path
	if len(corners) == 0 { // Circle
		path.Move(at.Add(vg.Point{X: r}))
		path.Arc(at, r, 0, 2*math.Pi)
	}
	for i, corner := range corners {
		if corner = at.Add(corner.Scale(r)); i == 0 {
			path.Move(corner)
		} else {
			path.Line(corner)
		}
	}
	path.Close()
	if filled {
		c.SetColor(of)
		c.Fill(path)
		return
	}
	c.SetLineStyle(draw.LineStyle{Color: of, Width: 0.7})
	c.Stroke(path)
}

// guides draws the guides, dark between white edges, which are seen on any color.
// Names are as near to the ends as the panel and the names before allow.
func (p panel) guides() {
	style := textStyle(guideSize, draw.XCenter, yMiddle)
	var taken []vg.Rectangle
	for _, l := range p.Panel.Guides {
		c := l.Color
		if c == nil {
			c = color.Gray{Y: 0x30}
		}
		style.Color = c
		var lines [][]vg.Point
		for _, run := range runs(len(l.X), func(i int) bool { return p.shows(l.X[i], l.Y[i]) }) {
			lines = append(lines, p.clip(p.path(l.X, l.Y, run[0], run[1]))...)
		}
		p.StrokeLines(draw.LineStyle{Color: color.White, Width: 2}, lines...)
		p.StrokeLines(lineStyle(l, c, 0.8), lines...)
		if l.Name == "" {
			continue
		}
		half, edge := vg.Point{X: style.Width(l.Name)/2 + 1.5, Y: guideSize/2 + 1},
			vg.Point{X: 6, Y: 6}
		for _, at := range backward(lines) {
			box := vg.Rectangle{Min: at.Sub(half), Max: at.Add(half)}
			overlaps := func(r vg.Rectangle) bool {
				return box.Min.X < r.Max.X && r.Min.X < box.Max.X && box.Min.Y < r.Max.Y &&
					r.Min.Y < box.Max.Y
			}
			if p.Contains(box.Min.Sub(edge)) && p.Contains(box.Max.Add(edge)) &&
				!slices.ContainsFunc(taken, overlaps) {
				p.SetColor(color.White)
				p.Fill(box.Path())
				p.FillText(style, at, l.Name)
				taken = append(taken, box)
				break
			}
		}
	}
}

// backward is where one comes by on the way from the end of the last line to the
// start of the first, every two points or closer.
func backward(lines [][]vg.Point) []vg.Point {
	var way []vg.Point
	for _, line := range slices.Backward(lines) {
		for i := len(line) - 1; i >= 0; i-- {
			way = append(way, line[i])
			if i == 0 {
				break
			}
			step := line[i-1].Sub(line[i])
			n := math.Ceil(math.Hypot(float64(step.X), float64(step.Y)) / 2)
			for k := 1.0; k < n; k++ {
				way = append(way, line[i].Add(step.Scale(vg.Length(k/n))))
			}
		}
	}
	return way
}

// entry is a name in the legend and what stands before it, drawn to the left
// of a point.
type entry struct {
	name string
	draw func(c draw.Canvas, end vg.Point)
}

func (p Panel) entries() []entry {
	var all []entry
	for i, l := range p.Lines {
		c := colorOf(l.Color, i)
		all = append(all, entry{l.Name, func(canvas draw.Canvas, end vg.Point) {
			if l.Low != nil {
				canvas.SetColor(translucent(c))
				canvas.Fill(vg.Rectangle{Min: end.Add(vg.Point{X: -sample, Y: -3}),
					Max: end.Add(vg.Point{Y: 3})}.Path())
			}
			canvas.StrokeLine2(lineStyle(l, c, 1.5), end.X-sample, end.Y, end.X, end.Y)
		}})
	}
	for i, q := range p.Points {
		all = append(all, entry{q.Name, func(canvas draw.Canvas, end vg.Point) {
			dot(canvas, q.Shape, q.Filled, colorOf(q.Color, i), vg.Point{X: end.X - 3, Y: end.Y})
		}})
	}
	if p.Heat != nil && p.Heat.missing() {
		name := p.Heat.Missing
		if name == "" {
			name = "diverged"
		}
		all = append(all, entry{name, func(canvas draw.Canvas, end vg.Point) {
			hatch(canvas, vg.Rectangle{Min: end.Add(vg.Point{X: -sample, Y: -4}),
				Max: end.Add(vg.Point{Y: 4})})
		}})
	}
	return slices.DeleteFunc(all, func(e entry) bool { return e.name == "" })
}

// legendRows breaks the legend into rows no wider than the room, and says how
// wide the first is.
func (p Panel) legendRows(room vg.Length) (rows [][]entry, first vg.Length) {
	style := textStyle(labelSize, draw.XRight, yMiddle)
	var used vg.Length
	for _, e := range p.entries() {
		width := sample + gap + style.Width(e.name)
		if n := len(rows); n > 0 && used+3*gap+width <= room {
			rows[n-1], used = append(rows[n-1], e), used+3*gap+width
		} else {
			rows, used = append(rows, []entry{e}), width
		}
		if len(rows) == 1 {
			first = used
		}
	}
	return rows, first
}

// strips is the height of the texts above the panel whose axes enclose the
// width, and have as much as left beside them: from the top down the title, the
// legend, which starts beside the title if there is room, and the texts of marks.
func (p Panel) strips(left, width vg.Length) vg.Length {
	rows, _ := p.legendRows(width)
	n := len(rows)
	if p.titleRow(left, width) {
		n++
	}
	marked := 0
	for _, t := range p.markTexts(width) {
		if t.Label != "" {
			marked = max(marked, t.row+1)
		}
	}
	height := strip * vg.Length(n+marked)
	if p.Title != "" {
		height += 3 // away from the uppermost label of the y axis
	}
	return height
}

// titleRow says whether the title has a row of its own.
func (p Panel) titleRow(left, width vg.Length) bool {
	rows, first := p.legendRows(width)
	title := textStyle(labelSize, draw.XLeft, yMiddle).Width(p.Title)
	return title > 0 && (len(rows) == 0 || title+4*gap+first > left+width)
}

// legend writes the title and names what is drawn, at the panel's right end.
func (p panel) legend() {
	width, y := p.Size().X, p.Max.Y+p.above-strip/2
	style := fit(textStyle(labelSize, draw.XLeft, yMiddle), p.Panel.Title, p.left+width)
	p.FillText(style, vg.Point{X: p.Min.X - p.left, Y: y}, p.Panel.Title)

	style = textStyle(labelSize, draw.XRight, yMiddle)
	rows, _ := p.Panel.legendRows(width)
	if p.Panel.titleRow(p.left, width) {
		y -= strip
	}
	for _, entries := range rows {
		x := p.Max.X
		for _, e := range slices.Backward(entries) {
			p.FillText(style, vg.Point{X: x, Y: y}, e.name)
			x -= style.Width(e.name) + gap
			e.draw(p.Canvas, vg.Point{X: x, Y: y})
			x -= sample + 3*gap
		}
		y -= strip
	}
}

// markText is where a mark stands and its text, from the left end of the axes.
type markText struct {
	Mark
	at, from, to vg.Length
	row          int // of the text, counted from below
}

// markTexts are the marks within the x axis. Texts that have room are centered
// above their marks, all in one row. Else they are flags: the first ends at its
// mark if it can, the others start at theirs, whose lines lead up to them, the
// further left the higher.
func (p Panel) markTexts(width vg.Length) []markText {
	style := textStyle(labelSize, draw.XCenter, yMiddle)
	var all []markText
	for _, m := range p.Marks {
		if at := vg.Length(p.X.at(m.X)) * width; p.X.shows(m.X) && 0 <= at && at <= width {
			w := style.Width(m.Label)
			from := max(0, min(at-w/2, width-w))
			all = append(all, markText{m, at, from, from + w, 0})
		}
	}
	slices.SortStableFunc(all, func(a, b markText) int { return cmp.Compare(a.X, b.X) })
	if !slices.ContainsFunc(all, func(t markText) bool {
		return slices.ContainsFunc(all, func(u markText) bool {
			return t.X < u.X && t.Label != "" && u.Label != "" && t.to+2*gap > u.from
		})
	}) {
		return all
	}
	for i, t := range slices.Backward(all) {
		w := t.to - t.from
		if left := t.at - gap/2 - w; i == 0 && left >= 0 {
			all[i].from, all[i].to = left, left+w
			break
		}
		t.from = max(0, min(t.at+gap/2, width-w))
		t.to = t.from + w
		for slices.ContainsFunc(all[i+1:], func(u markText) bool {
			return u.Label != "" && (u.row == t.row && t.to+gap > u.from || u.row > t.row &&
				t.from < u.at && u.at < t.to)
		}) {
			t.row++
		}
		all[i] = t
	}
	return all
}

// marks draws dashed lines, and their texts above.
func (p panel) marks() {
	for _, t := range p.Panel.markTexts(p.Size().X) {
		c := t.Color
		if c == nil {
			c = markColor
		}
		top, middle := p.Max.Y, p.Max.Y+strip*(vg.Length(t.row)+0.5)
		if t.row > 0 {
			top = middle + labelSize/3
		}
		at := p.Min.X + t.at
		p.StrokeLine2(draw.LineStyle{Color: c, Width: 0.8, Dashes: []vg.Length{3, 2}}, at, p.Min.Y,
			at, top)
		style := textStyle(labelSize, draw.XCenter, yMiddle)
		style.Color = c
		p.FillText(style, vg.Point{X: p.Min.X + (t.from+t.to)/2, Y: middle}, t.Label)
	}
}

// thin leaves at most four points in each of so many equal columns between
// first and last: the first, the lowest, the highest and the last one. Drawn
// with columns as wide as a pixel that looks the same, spikes included, and the
// last point stays (Jugel et al., "M4", VLDB 2014).
func thin(points []vg.Point, first, last vg.Length, columns int) []vg.Point {
	if len(points) <= columns {
		return points
	}
	column := func(p vg.Point) int {
		return int(math.Floor(float64((p.X - first) / (last - first) * vg.Length(columns))))
	}
	var kept []vg.Point
	for start, end := 0, 0; start < len(points); start = end {
		low, high := start, start
		for end = start; end < len(points) && column(points[end]) == column(points[start]); end++ {
			if points[end].Y < points[low].Y {
				low = end
			}
			if points[end].Y > points[high].Y {
				high = end
			}
		}
		previous := -1
		for _, i := range []int{start, min(low, high), max(low, high), end - 1} {
			if i != previous {
				kept = append(kept, points[i])
			}
			previous = i
		}
	}
	return kept
}
