package rundir

import (
	"cmp"
	"context"
	"encoding/csv"
	"io"
	"strconv"

	"momentum/internal/tbevents"
)

// Scalars are the values of a row for TensorBoard, with the tags of their columns.
func (r Row) Scalars(tag func(column string) string) []tbevents.Scalar {
	all := make([]tbevents.Scalar, len(r.Values))
	for i, v := range r.Values {
		all[i] = tbevents.Scalar{Tag: tag(v.Name), Value: v.X}
	}
	return all
}

// WriteEvents writes the rows of metrics.jsonl to [EventsFile], with the tags of their columns. Its
// records have no times, so it follows from the rows alone.
func (d *Dir) WriteEvents(ctx context.Context, tag func(column string) string) error {
	rows, err := d.Metrics(ctx)
	if err != nil {
		return err
	}
	tags := map[string]string{} // by column
	known := func(column string) string {
		t, ok := tags[column]
		if !ok {
			t = tag(column)
			tags[column] = t
		}
		return t
	}
	return d.WriteFile(EventsFile, func(w io.Writer) error {
		var stop error
		err := tbevents.Write(w, func(yield func(tbevents.Event) bool) {
			for i, row := range rows {
				if stop = stopped(ctx, i); stop != nil ||
					!yield(tbevents.Event{Step: row.Step, Scalars: row.Scalars(known)}) {
					return
				}
			}
		})
		return cmp.Or(stop, err)
	})
}

// WriteCSV writes metrics.csv: the rows of metrics.jsonl below a header that names all values in
// the order of their first appearance. A value that a row lacks is an empty field.
func (d *Dir) WriteCSV(ctx context.Context) error {
	rows, err := d.Metrics(ctx)
	if err != nil {
		return err
	}
	header := []string{"step"}
	column := map[string]int{}
	for _, row := range rows {
		for _, v := range row.Values {
			if _, ok := column[v.Name]; !ok {
				column[v.Name] = len(header)
				header = append(header, v.Name)
			}
		}
	}
	return d.WriteFile(csvFile, func(w io.Writer) error {
		c := csv.NewWriter(w)
		c.Write(header) // c.Error returns the error of any Write
		c.Flush()
		if err := c.Error(); err != nil {
			return err
		}
		var line []byte
		places := make([]int, len(header)) // of a row's values by column, from 1 on
		for i, row := range rows {
			if err := stopped(ctx, i); err != nil {
				return err
			}
			clear(places)
			for k, v := range row.Values {
				places[column[v.Name]] = k + 1
			}
			line = strconv.AppendInt(line[:0], row.Step, 10)
			for _, place := range places[1:] {
				line = append(line, ',')
				if place > 0 { // no number needs quotes
					line = strconv.AppendFloat(line, row.Values[place-1].X, 'g', -1, 64)
				}
			}
			if _, err := w.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		return nil
	})
}
