package main

import (
	"context"
	"fmt"

	"momentum/internal/figure"
	"momentum/internal/page"
)

// figure2 is the paper's Figure 2: samples with two patches, one along w* and the other along one
// noise direction, in the plane of both. It needs no training.
func (s *session) figure2(ctx context.Context, set Settings) (page.Section, error) {
	spec := set.spec(set.Seed)
	spec.D, spec.P, spec.N, spec.SmallMargin = 2, 2, 200, 40
	m, err := spec.Draw("figure2")
	if err != nil {
		return page.Section{}, err
	}
	// In two dimensions the noise is a multiple of n, the unit vector orthogonal to w*.
	n := []float64{-m.Feature[1], m.Feature[0]}
	points := []figure.Points{
		{Name: "large margin, y = 1", Color: figure.Vermilion, Shape: figure.Square, Filled: true},
		{Name: "large margin, y = −1", Color: figure.Blue, Shape: figure.Square, Filled: true},
		{Name: "small margin, y = 1", Color: figure.Vermilion, Shape: figure.Circle},
		{Name: "small margin, y = −1", Color: figure.Blue, Shape: figure.Circle},
	}
	for i := range m.N {
		kind := 0
		if i < m.SmallMargin {
			kind = 2
		}
		if m.Labels[i] < 0 {
			kind++
		}
		p := &points[kind]
		p.X = append(p.X, float64(m.Signal[i]))
		p.Y = append(p.Y, float64(m.Noise[2*i])*n[0]+float64(m.Noise[2*i+1])*n[1])
	}
	base := s.out("figure2")
	limit := 1.25 * set.Alpha
	err = figure.Picture{
		Title: "Figure 2: the distribution D in two dimensions",
		Note: fmt.Sprintf("%d samples X = (c w*, e n), %d of them with a small margin (for the "+
			"eye; μ is smaller in the experiments), in the plane of w* and n. α = %.3g, β = "+
			"%.3g, σ = %.3g.",
			m.N, m.SmallMargin, m.Alpha, m.Beta, m.Sigma),
		Panels: [][]figure.Panel{{{
			X:      figure.Axis{Label: "along w*: c", Low: -limit, High: limit},
			Y:      figure.Axis{Label: "along the noise n: e"},
			Points: points,
		}}},
		Width: 7.2, Height: 4,
	}.Write(ctx, base)
	if err != nil {
		return page.Section{}, err
	}
	fmt.Fprintf(s.stdout, "picture   %s.png\n", base)
	return page.Section{
		Title: "Figure 2: the data",
		Text: "Each sample has one signal patch, a multiple c of the feature w*, and noise " +
			"patches orthogonal to it. Large-margin samples (squares) lie at c = yα, far from " +
			"each other compared with the noise; small-margin samples (circles) lie at c = yβ, " +
			"where the noise is larger than the signal and so is an easier way to fit them.",
		Pictures: []page.Picture{{Path: base + ".svg"}},
	}, nil
}
