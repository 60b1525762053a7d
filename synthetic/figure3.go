package main

import (
	"context"
	"fmt"
	"math"

	"momentum/internal/cli"
	"momentum/internal/cubic"
	"momentum/internal/figure"
	"momentum/internal/stats"
)

// figure3 is the paper's Figure 3: training loss and test accuracy on either margin, for GD and
// GD+M from the same initial weights.
func (s *session) figure3(ctx context.Context, set Settings) (section, error) {
	var bundles []bundle
	for i := range set.Seeds {
		bundles = append(bundles, set.pair(set.Seed+uint64(i)))
	}
	runs, err := s.train(ctx, "Figure 3", bundles)
	if err != nil {
		return section{}, err
	}

	// The table, at the last step.
	result := table{Head: []string{"", "GD", "GD+M", "GD+M − GD"}}
	for _, row := range []struct {
		name, column string
		scale        float64
	}{
		{"training error, %", "error", 100}, {"training loss, nats", "loss", 1},
		{"large-margin test accuracy, %", "test_1", 100},
		{"small-margin test accuracy, %", "test_2", 100},
		{"c, largest ⟨w_r, w*⟩", "c", 1}, {"largest |Ξ| on Z2", "xi_max_2", 1},
	} {
		var gd, gdm, difference []float64
		for _, t := range runs {
			a, b := t.last("gd").get(row.column)*row.scale, t.last("gdm").get(row.column)*row.scale
			gd, gdm, difference = append(gd, a), append(gdm, b), append(difference, b-a)
		}
		result.add(row.name, stats.Mean95(gd).String(), stats.Mean95(gdm).String(),
			stats.Mean95(difference).String())
	}
	fmt.Fprintln(s.stdout)
	result.print(s.stdout)

	panel := func(title, label, column string, scale float64, y figure.Axis) figure.Panel {
		y.Label = label
		last := 2.0 // an axis has a length
		for _, t := range runs {
			last = max(last, float64(t.rows[len(t.rows)-1].Step))
		}
		return figure.Panel{
			Title: title, X: figure.Axis{Label: "step", Log: true, Low: 1, High: last}, Y: y,
			Lines: []figure.Line{
				band("GD", figure.Blue, runs, "gd", column, scale, y.Log),
				band("GD+M", figure.Vermilion, runs, "gdm", column, scale, y.Log),
			},
		}
	}
	accuracy := figure.Axis{Low: 0, High: 102}
	base := s.out("figure3")
	err = figure.Picture{
		Title: fmt.Sprintf("Figure 3: N = %d, d = %d, m = %d, P = %d; %s, η = %g, γ = %g", set.N,
			set.D, set.M, set.P, set.Form, set.Eta, set.Gamma),
		Note: fmt.Sprintf("α = %.3g, β = %.3g, σ = %.3g, σ0 = %.3g, %d small-margin samples, λ = "+
			"%g. %s; %d test samples, each tried with either margin.",
			set.Alpha, set.Beta, set.Sigma, set.Sigma0, set.SmallMargin, set.Lambda, overSeeds(set.Seeds),
			set.Test),
		Panels: [][]figure.Panel{{
			panel("(a) training loss", "loss (nats)", "loss", 1, figure.Axis{Log: true}),
			panel("(b) large margin", "test accuracy (%)", "test_1", 100, accuracy),
			panel("(c) small margin", "test accuracy (%)", "test_2", 100, accuracy),
		}},
		Width: 9.6,
	}.Write(base)
	if err != nil {
		return section{}, err
	}
	fmt.Fprintf(s.stdout, "picture   %s.png\n", base)

	text := "Training loss, and test accuracy on samples with the large and with the small " +
		"margin, as in the paper's Figure 3. " +
		fmt.Sprintf("After %s steps GD has a training error of %s%% and GD+M of %s%%; on "+
			"small-margin test samples GD is right in %s%% and GD+M in %s%%. ",
			steps(runs), result.Rows[0][1], result.Rows[0][2], result.Rows[3][1],
			result.Rows[3][2]) +
		fmt.Sprintf("GD has learned c = %s of the feature, with noise |Ξ| of at most %s on Z2; "+
			"GD+M has c = %s and |Ξ| of at most %s.",
			result.Rows[4][1], result.Rows[5][1], result.Rows[4][2], result.Rows[5][2])
	shown := section{Title: "Figure 3: GD and GD+M", Text: text, Table: result,
		Pictures: []string{base + ".svg"}}
	if err := s.writeText("figure3.md", result.markdown()); err != nil {
		return section{}, err
	}
	for _, t := range runs {
		for _, l := range t.Lanes {
			if step, ok := t.last(l.Name).event(cubic.Diverged); ok {
				return shown, &cli.DivergedError{Err: fmt.Errorf("%s of seed %d diverged at step "+
					"%d: weights are no longer finite; use a smaller -eta", l.Name, t.Data.Seed,
					step)}
			}
		}
	}
	return shown, nil
}

// pair trains GD and GD+M, observed closely enough to see the order of events.
func (s Settings) pair(seed uint64) bundle {
	b := s.bundle("figure3", seed, s.gd(), s.gdm())
	b.Dense = true
	return b
}

// overSeeds says what a curve is made of.
func overSeeds(n int) string {
	if n == 1 {
		return "One seed"
	}
	return fmt.Sprintf("Mean and 95%% t band over %d seeds", n)
}

// steps is the number of steps of the runs as text.
func steps(runs []trained) string {
	low, high := int64(math.MaxInt64), int64(0)
	for _, t := range runs {
		n := t.rows[len(t.rows)-1].Step
		low, high = min(low, n), max(high, n)
	}
	if low == high {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

// band is the mean over runs of a lane's column, with its 95% t interval. On a logarithmic axis
// both are those of the logarithm. Runs are averaged at the steps that all of them have.
func band(name string, color figure.Category, runs []trained, lane, column string, scale float64,
	log bool) figure.Line {
	line := figure.Line{Name: name, Color: color}
	at := map[float64][]float64{}
	for _, t := range runs {
		x, y := t.series(lane, column)
		for i := range x {
			at[x[i]] = append(at[x[i]], y[i]*scale)
		}
	}
	x, _ := runs[0].series(lane, column)
	for _, x := range x {
		values := at[x]
		if len(values) < len(runs) {
			continue
		}
		if log {
			for i := range values {
				values[i] = math.Log(values[i])
			}
		}
		v := stats.Mean95(values)
		low, mean, high := v.Mean-v.Half, v.Mean, v.Mean+v.Half
		if log {
			low, mean, high = math.Exp(low), math.Exp(mean), math.Exp(high)
		}
		line.X, line.Y = append(line.X, x), append(line.Y, mean)
		line.Low, line.High = append(line.Low, low), append(line.High, high)
	}
	if len(runs) == 1 {
		line.Low, line.High = nil, nil
	}
	return line
}
