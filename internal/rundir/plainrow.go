package rundir

import (
	"bytes"
	"math"
	"slices"
	"strconv"
)

// plainRows parses rows of the form that [Dir.AppendRow] writes, many times as fast as [parseRow]:
// a run may have a million. It leaves all other lines to parseRow.
type plainRows struct {
	names map[string]string // one string for all values of a name
	last  []Value           // of the row before, whose names the next row mostly has, too
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
	row, rest = Row{Step: step, Values: make([]Value, 0, len(p.last))}, rest[n:]
	same := true // the names so far are those of the row before, and so differ
	for string(rest) != "}\n" {
		var v Value
		if i := len(row.Values); same && i < len(p.last) && isNamed(rest, p.last[i].Name) {
			v.Name = p.last[i].Name
			rest = rest[len(v.Name)+len(`,"":`):]
		} else {
			same = false
			if v.Name, rest, ok = p.name(rest); !ok || v.Name == "step" ||
				slices.ContainsFunc(row.Values, func(u Value) bool { return u.Name == v.Name }) {
				return row, false
			}
		}
		if v.X, rest, ok = plainNumber(rest); !ok {
			return row, false
		}
		row.Values = append(row.Values, v)
	}
	if len(row.Values) == 0 {
		row.Values = nil
	}
	p.last = row.Values
	return row, true
}

// isNamed reports whether a text begins with a comma, a name and a colon.
func isNamed(text []byte, name string) bool {
	n := len(name)
	return len(text) > n+4 && text[0] == ',' && text[1] == '"' && string(text[2:2+n]) == name &&
		text[2+n] == '"' && text[3+n] == ':'
}

// name parses a comma, a name and a colon at the start of a text, and returns the rest.
func (p *plainRows) name(text []byte) (name string, rest []byte, ok bool) {
	text, ok = bytes.CutPrefix(text, []byte(`,"`))
	end := bytes.IndexByte(text, '"')
	if !ok || end < 0 || slices.ContainsFunc(text[:end], func(c byte) bool {
		return c < ' ' || c > '~' || c == '\\'
	}) {
		return "", nil, false
	}
	if name, ok = p.names[string(text[:end])]; !ok {
		name = string(text[:end])
		p.names[name] = name
	}
	rest, ok = bytes.CutPrefix(text[end+1:], []byte(":"))
	return name, rest, ok
}

// plainNumber parses a number, or a text in place of one, at the start of a text, and returns the
// rest.
func plainNumber(text []byte) (x float64, rest []byte, ok bool) {
	if len(text) > 0 && text[0] == '"' {
		for _, special := range []struct {
			text string
			x    float64
		}{{`"NaN"`, math.NaN()}, {`"+Inf"`, math.Inf(1)}, {`"-Inf"`, math.Inf(-1)}} {
			if after, ok := bytes.CutPrefix(text, []byte(special.text)); ok {
				return special.x, after, true
			}
		}
	}
	n := numberLength(text)
	x, err := strconv.ParseFloat(string(text[:n]), 64)
	return x, text[n:], err == nil
}

// numberLength is the length of the number in the notation of JSON at the start of a text, 0 if
// there is none.
func numberLength(text []byte) int {
	at := func(i int, c byte) bool { return i < len(text) && text[i] == c }
	digits := func(i int) (end int) {
		for i < len(text) && '0' <= text[i] && text[i] <= '9' {
			i++
		}
		return i
	}
	start := 0
	if at(0, '-') {
		start = 1
	}
	i := digits(start)
	if i == start {
		return 0
	}
	if text[start] == '0' { // no digit may follow it
		i = start + 1
	}
	if at(i, '.') {
		end := digits(i + 1)
		if end == i+1 {
			return 0
		}
		i = end
	}
	if at(i, 'e') || at(i, 'E') {
		if i++; at(i, '+') || at(i, '-') {
			i++
		}
		end := digits(i)
		if end == i {
			return 0
		}
		i = end
	}
	return i
}
