package rundir

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

const (
	metricsFile = "metrics.jsonl"
	csvFile     = "metrics.csv"

	// EventsFile has the metrics for TensorBoard, which finds such files by their names.
	EventsFile = "events.out.tfevents.0.momentum"
)

// Row holds the measurements of one step. metrics.jsonl has one line per row,
//
//	{"step":3,"loss":0.5,"grad_norm":"NaN"}
//
// with the values in the order of Values. JSON has no NaN and no infinity: they are written as the
// strings "NaN", "+Inf" and "-Inf". Quantities that were not measured are left out.
type Row struct {
	Step   int64 // at least 0, and larger than in the row before
	Values []Value
}

// Value is one measurement.
type Value struct {
	Name string
	X    float64
}

// Get returns the value with a name, and whether the row has it.
func (r Row) Get(name string) (float64, bool) {
	for _, v := range r.Values {
		if v.Name == name {
			return v.X, true
		}
	}
	return 0, false
}

// ReadMetrics reads the file metrics.jsonl of a run folder. A last line without a newline was torn
// by a killed process and is dropped. Any other line that is not a row is an error with its file
// and line, and so is a step that is not larger than the one before. A million rows take about a
// second, in which the context may end it.
func ReadMetrics(ctx context.Context, path string) ([]Row, error) {
	rows, _, err := readMetrics(ctx, path)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil, err
	case err != nil:
		return nil, readError(path, err)
	}
	return rows, nil
}

// readMetrics also returns the offset in bytes at which each row ends.
func readMetrics(ctx context.Context, path string) (rows []Row, ends []int64, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	return parseMetrics(ctx, path, b)
}

// LastRow reads the last row of the metrics in a run folder, from the end of the file alone: also
// while a process appends rows. ok is false if there is none.
func LastRow(folder string) (row Row, ok bool, err error) {
	const enough = 64 << 10 // bytes, for two rows
	text, err := ReadEnd(filepath.Join(folder, metricsFile), enough)
	if err != nil {
		return row, false, fmt.Errorf("rundir: %w", err)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1] // without a row that is half written
	if len(text) == 0 {
		return row, false, nil
	}
	row, err = parseRow(text[bytes.LastIndexByte(text[:len(text)-1], '\n')+1:])
	if err != nil {
		return row, false, fmt.Errorf("rundir: %s: the last row: %w", folder, err)
	}
	return row, true, nil
}

// ReadEnd reads the end of a file, at most n bytes, and nothing of a file that does not exist.
func ReadEnd(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	text := make([]byte, min(info.Size(), n))
	read, err := f.ReadAt(text, info.Size()-int64(len(text)))
	if err != nil && err != io.EOF {
		return nil, err
	}
	return text[:read], nil
}

func parseMetrics(ctx context.Context, path string, b []byte) (rows []Row, ends []int64,
	err error) {
	last, offset := int64(-1), int64(0)
	quick := plainRows{names: map[string]string{}}
	for line := range bytes.Lines(b) {
		if line[len(line)-1] != '\n' {
			break
		}
		if err := stopped(ctx, len(rows)); err != nil {
			return nil, nil, err
		}
		row, ok := quick.parse(line)
		if !ok {
			row, err = parseRow(line)
		}
		if err == nil && row.Step <= last {
			err = fmt.Errorf("step is %d, want more than %d as on the line before", row.Step, last)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s:%d: %w", path, len(rows)+1, err)
		}
		last = row.Step
		offset += int64(len(line))
		rows, ends = append(rows, row), append(ends, offset)
	}
	return rows, ends, nil
}

// stopped is the error of a context, now and then: it is asked for each row.
func stopped(ctx context.Context, row int) error {
	const often = 4096 // rows, which take some ms
	if row%often == often-1 {
		return ctx.Err()
	}
	return nil
}

// parseRow reads the object token by token, to keep the order of its values.
func parseRow(line []byte) (Row, error) {
	if !json.Valid(line) || bytes.TrimLeft(line, " \t")[0] != '{' {
		return Row{}, fmt.Errorf(`%.40q, want a row such as {"step":3,"loss":0.5}`,
			bytes.TrimSpace(line))
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	d.Token() // {; since the line is valid, no call of Token fails
	row := Row{Step: -1}
	for d.More() {
		key, _ := d.Token()
		name := key.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return Row{}, err
		}
		if _, ok := row.Get(name); ok || name == "step" && row.Step >= 0 {
			return Row{}, fmt.Errorf("%q appears twice", name)
		}
		if name == "step" {
			step, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || step < 0 {
				return Row{}, fmt.Errorf("step is %.40s, want a whole number from 0", value)
			}
			row.Step = step
			continue
		}
		x, err := parseNumber(value)
		if err != nil {
			return Row{}, fmt.Errorf("%s is %.40s, %w", name, value, err)
		}
		row.Values = append(row.Values, Value{name, x})
	}
	if row.Step < 0 {
		return Row{}, errors.New(`no step, want a row such as {"step":3,"loss":0.5}`)
	}
	return row, nil
}

func parseNumber(value []byte) (float64, error) {
	switch string(value) {
	case `"NaN"`:
		return math.NaN(), nil
	case `"+Inf"`:
		return math.Inf(1), nil
	case `"-Inf"`:
		return math.Inf(-1), nil
	}
	// Among JSON values only numbers begin with a minus sign or a digit.
	if c := value[0]; c != '-' && (c < '0' || c > '9') {
		return 0, errors.New(`want a number, "NaN", "+Inf" or "-Inf"`)
	}
	x, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		return 0, errors.New("want a number within the range of float64")
	}
	return x, nil
}

// appendRow appends the line of a row to b.
func appendRow(b []byte, r Row) ([]byte, error) {
	b = append(b, `{"step":`...)
	b = strconv.AppendInt(b, r.Step, 10)
	for i, v := range r.Values {
		if v.Name == "step" || !utf8.ValidString(v.Name) {
			return nil, fmt.Errorf("step %d: a value is named %q, want UTF-8 and not \"step\"",
				r.Step, v.Name)
		}
		if slices.ContainsFunc(r.Values[:i], func(u Value) bool { return u.Name == v.Name }) {
			return nil, fmt.Errorf("step %d: two values are named %q, want different names", r.Step,
				v.Name)
		}
		name, err := json.Marshal(v.Name)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, ','), name...), ':')
		if x := formatNumber(v.X); math.IsNaN(v.X) || math.IsInf(v.X, 0) {
			b = strconv.AppendQuote(b, x)
		} else {
			b = append(b, x...)
		}
	}
	return append(b, "}\n"...), nil
}

// formatNumber writes the fewest digits that read back as the same number.
func formatNumber(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// Metrics reads all rows of metrics.jsonl.
func (d *Dir) Metrics(ctx context.Context) ([]Row, error) {
	return ReadMetrics(ctx, d.Path(metricsFile))
}

// flushEvery is the time after which rows are flushed to disk. A flush takes milliseconds, on a
// network's disk tens of them, and a step of a small network on a GPU no more.
const flushEvery = time.Second

// AppendRow appends a row to metrics.jsonl in one write, so that killing the process afterwards
// loses nothing. It flushes rows to disk once a second; so do [Dir.SaveCheckpoint], [Dir.Seal] and
// [Dir.Close]: a power failure takes rows after the last checkpoint only, which the run computes
// again. After an error the file is as it was before.
func (d *Dir) AppendRow(r Row) error { return d.AppendRows([]Row{r}) }

// AppendRows is [Dir.AppendRow] of several rows at once.
func (d *Dir) AppendRows(rows []Row) (err error) {
	var lines []byte
	last := d.last
	for _, r := range rows {
		if r.Step <= last {
			return fmt.Errorf("rundir: %s: row of step %d after step %d, want increasing steps "+
				"from 0", d.Path(metricsFile), r.Step, last)
		}
		last = r.Step
		if lines, err = appendRow(lines, r); err != nil {
			return fmt.Errorf("rundir: %s: %w", d.Path(metricsFile), err)
		}
	}
	_, err = d.metrics.WriteAt(lines, d.size)
	if err == nil && time.Since(d.flushed) >= flushEvery {
		err = d.flushRows()
	}
	if err != nil {
		return fmt.Errorf("rundir: %w", errors.Join(err, d.metrics.Truncate(d.size)))
	}
	d.size += int64(len(lines))
	d.hash.Write(lines)
	d.last = last
	return nil
}

// flushRows flushes metrics.jsonl to disk.
func (d *Dir) flushRows() error {
	d.flushed = time.Now()
	return d.metrics.Sync()
}

// CutRows removes the rows after a step from metrics.jsonl: -1 removes all. A run that goes back to
// a checkpoint cuts the rows that it is about to compute again.
func (d *Dir) CutRows(afterStep int64) error {
	if err := d.cutRows(afterStep); err != nil {
		return fmt.Errorf("rundir: %w", withRemedy(err))
	}
	return nil
}

// cutRows also removes a torn last line, and finds the size of the file and its last step.
func (d *Dir) cutRows(afterStep int64) error {
	size, last, err := d.rowsUpTo(afterStep)
	if err != nil {
		return damagedBy(d.Path(metricsFile), err)
	}
	d.size, d.last = size, last
	if err := d.metrics.Truncate(d.size); err != nil {
		return err
	}
	if d.hash, err = d.hashRows(d.size); err != nil {
		return err
	}
	return d.flushRows()
}

// rowsUpTo returns the bytes of the rows up to a step, and the step of the last of them: -1 if
// there is none.
func (d *Dir) rowsUpTo(step int64) (size, last int64, err error) {
	rows, ends, err := readMetrics(context.Background(), d.Path(metricsFile))
	last = -1
	for i, row := range rows {
		if row.Step > step {
			break
		}
		size, last = ends[i], row.Step
	}
	return size, last, err
}

// hashRows returns the SHA-256 of the first bytes of metrics.jsonl, which there must be.
func (d *Dir) hashRows(size int64) (hash.Hash, error) {
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(d.metrics, 0, size))
	if err == nil && n < size {
		err = fmt.Errorf("%s: has %d bytes, want at least %d", d.Path(metricsFile), n, size)
	}
	return h, err
}

// Column yields the indices of the rows that have a value, and the value.
func Column(rows []Row, name string) iter.Seq2[int, float64] {
	return func(yield func(int, float64) bool) {
		place := 0 // of the value in the row before: mostly the same
		for i, row := range rows {
			if place >= len(row.Values) || row.Values[place].Name != name {
				found := slices.IndexFunc(row.Values, func(v Value) bool { return v.Name == name })
				if found < 0 {
					continue
				}
				place = found
			}
			if !yield(i, row.Values[place].X) {
				return
			}
		}
	}
}
