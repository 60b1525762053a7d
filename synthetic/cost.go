package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"momentum/internal/cli"
	"momentum/internal/measure"
	"momentum/synthetic/table1"
)

// estimate is what -dry-run has measured and added up.
type estimate struct {
	perStep map[shape]float64 // seconds
	seconds float64           // of all parts
}

// shape is what the time of a step depends on.
type shape struct{ n, d, p, m, degree, lanes int }

// errPlanned ends an experiment of -dry-run where its training would begin.
var errPlanned = errors.New("-dry-run trains nothing")

// printPlan prints what each part of a command trains, and how long that takes at most by a few
// steps of each kind, which it measures. Trainings that are done already are counted, too.
func (s *session) printPlan(ctx context.Context, plan []part) error {
	s.estimate = &estimate{perStep: map[shape]float64{}}
	for _, p := range plan {
		fmt.Fprintf(s.stdout, "part      %s: ", p.name)
		err := errPlanned
		switch p.name {
		case partFigure2:
			fmt.Fprintln(s.stdout, "draws samples and trains nothing")
		case partTable1:
			err = cmp.Or(s.printTable1(ctx), errPlanned)
		default:
			_, err = s.experiments()[p.name](ctx, p.settings)
		}
		if !errors.Is(err, errPlanned) {
			fmt.Fprintln(s.stdout) // ends the line of the part
			return cli.StoppedMeasuring(err)
		}
	}
	fmt.Fprintf(s.stdout, "cost      at most %s here", rounded(s.estimate.seconds))
	if len(s.estimate.perStep) > 0 { // Table 1 takes all its epochs
		fmt.Fprint(s.stdout, "; a training ends earlier once all its settings have converged")
	}
	fmt.Fprintln(s.stdout)
	return nil
}

// printTable1 prints what Table 1 trains.
func (s *session) printTable1(ctx context.Context) error {
	t := s.table1
	seconds, err := table1.Cost(ctx, s.be, t)
	if err != nil {
		return err
	}
	s.estimate.seconds += seconds
	fmt.Fprintf(s.stdout, "%d students, each of them as %d networks (teachers, algorithms, rates, "+
		"seeds), %d epochs of %d points: %s\n", len(t.Students), t.Networks(), t.Epochs, t.Train,
		rounded(seconds))
	return nil
}

// printWork prints what an experiment would train, without what an earlier part trains. It returns
// errPlanned or what failed.
func (s *session) printWork(ctx context.Context, bundles []bundle) error {
	var settings int
	var samples, steps span
	seconds := 0.0
	for _, b := range bundles {
		first, err := s.open(b)
		if err != nil {
			return err
		}
		if !first {
			continue
		}
		perStep, err := s.stepSeconds(ctx, b)
		if err != nil {
			return err
		}
		samples.add(b.Data.N)
		steps.add(b.T)
		settings += len(b.Lanes)
		seconds += perStep * float64(b.T)
	}
	if settings == 0 {
		fmt.Fprintln(s.stdout, "what an earlier part trains")
		return errPlanned
	}
	s.estimate.seconds += seconds
	fmt.Fprintf(s.stdout, "%d trainings of %d settings in all, N = %s, at most %s steps each: at "+
		"most %s\n", steps.count, settings, samples, steps, rounded(seconds))
	return errPlanned
}

// stepSeconds is the time of a step of a bundle, measured once for each shape.
func (s *session) stepSeconds(ctx context.Context, b bundle) (float64, error) {
	key := shape{b.Data.N, b.Data.D, b.Data.P, b.M, b.Degree, len(b.Lanes)}
	if seconds, known := s.estimate.perStep[key]; known {
		return seconds, nil
	}
	lanes, err := s.newLanes(b)
	if err != nil {
		return 0, err
	}
	if err := lanes.Run(ctx, 1); err != nil { // compiles
		return 0, err
	}
	step, err := measure.PerStep(b.T, time.Second/4,
		func(k int) error { return lanes.Run(ctx, k) })
	s.estimate.perStep[key] = step.Seconds()
	return step.Seconds(), err
}

// span is the range of some numbers.
type span struct{ count, least, most int }

func (r *span) add(x int) {
	if r.count == 0 {
		r.least, r.most = x, x
	}
	r.count++
	r.least, r.most = min(r.least, x), max(r.most, x)
}

func (r span) String() string {
	if r.least == r.most {
		return fmt.Sprint(r.least)
	}
	return fmt.Sprintf("%d to %d", r.least, r.most)
}

// rounded is a time such as "1h2m0s", to three digits or so.
func rounded(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Minute {
		return d.Round(time.Second / 10).String()
	}
	return d.Round(time.Second).String()
}
