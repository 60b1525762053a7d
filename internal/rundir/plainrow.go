package rundir

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
)

// plainRows parses rows of the form that [Dir.AppendRow] writes, nine times as fast as
// [parseRow]: a run may have a million. It leaves all other lines to parseRow.
type plainRows struct {
	names map[string]string // one string for all values of a name
	most  int               // values of a row so far
}

// parse parses a line. It returns false if the line has another form or something is wrong with it.
func (p *plainRows) parse(line []byte) (row Row, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"step":`))
	n := numberLength(rest)
	if !ok || n == 0 {
		return row, false
	}
	step, err := strconv.ParseInt(string(rest[:n]), 10, 64)
	if err != nil || step < 0 {
		return row, false
	}
	row, rest = Row{Step: step, Values: make([]Value, 0, p.most)}, rest[n:]
	for {
		if string(rest) == "}\n" {
			p.most = max(p.most, len(row.Values))
			if len(row.Values) == 0 {
				row.Values = nil
			}
			return row, true
		}
		var v Value
		if v, rest, ok = p.value(rest); !ok || v.Name == "step" ||
			slices.ContainsFunc(row.Values, func(u Value) bool { return u.Name == v.Name }) {
			return row, false
		}
		row.Values = append(row.Values, v)
	}
}

// value parses a comma, a name, a colon and a number at the start of a text, and returns the rest.
func (p *plainRows) value(text []byte) (v Value, rest []byte, ok bool) {
	text, ok = bytes.CutPrefix(text, []byte(`,"`))
	end := bytes.IndexByte(text, '"')
	if !ok || end < 0 || slices.ContainsFunc(text[:end], func(c byte) bool {
		return c < ' ' || c > '~' || c == '\\'
	}) {
		return v, nil, false
	}
	if v.Name, ok = p.names[string(text[:end])]; !ok {
		v.Name = string(text[:end])
		p.names[v.Name] = v.Name
	}
	if rest, ok = bytes.CutPrefix(text[end+1:], []byte(":")); !ok {
		return v, nil, false
	}
	for _, special := range []struct {
		text string
		x    float64
	}{{`"NaN"`, math.NaN()}, {`"+Inf"`, math.Inf(1)}, {`"-Inf"`, math.Inf(-1)}} {
		if after, ok := bytes.CutPrefix(rest, []byte(special.text)); ok {
			v.X = special.x
			return v, after, true
		}
	}
	n := numberLength(rest)
	x, err := strconv.ParseFloat(string(rest[:n]), 64)
	v.X = x
	return v, rest[n:], err == nil
}

// numberLength is the length of the number in the notation of JSON at the start of a text, 0 if
// there is none.
func numberLength(text []byte) int {
	i := 0
	at := func(chars string) bool { return i < len(text) && strings.IndexByte(chars, text[i]) >= 0 }
	digits := func() bool {
		first := i
		for i < len(text) && '0' <= text[i] && text[i] <= '9' {
			i++
		}
		return i > first
	}
	if at("-") {
		i++
	}
	if at("0") {
		i++
	} else if !digits() {
		return 0
	}
	if at(".") {
		if i++; !digits() {
			return 0
		}
	}
	if at("eE") {
		if i++; at("+-") {
			i++
		}
		if !digits() {
			return 0
		}
	}
	return i
}
