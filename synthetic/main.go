// Synthetic shows the paper's theory at work: a cubic convolutional network on data in which a few
// samples have a small margin, trained by full-batch gradient descent without momentum (GD) and
// with it (GD+M).
//
//	go run ./synthetic
//
// config.go has the settings and flags.go the flags, bundle.go and training.go train a bundle of
// settings in a run folder, and trained.go reads it. Each of figure2.go, figure3.go, theory.go,
// mechanism.go, scales.go, table1.go and map.go is an experiment: the bundles that it needs, and
// the picture and table of their folders.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/durable"
	"momentum/internal/page"
)

func main() { os.Exit(cli.Main("synthetic", run)) }

func run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	c, r, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		printManual(stdout)
		return nil
	} else if err != nil {
		return err
	}
	be, err := backend.Open(ctx, c.Backend, backend.Options{Offline: c.Offline, Out: stderr})
	if err != nil {
		return err
	}
	defer be.LeaveAutotuned()
	s := &session{be: be, request: r, execution: c.Execution, table1: c.Table1, stdout: stdout,
		stderr: stderr}
	fmt.Fprintf(stdout, "backend   %s\n", be)
	settings := fmt.Sprintf("preset    %s: N = %d samples, %d of them with a small margin (μ = "+
		"%.3g), d = %d, P = %d, m = %d\n",
		r.preset, c.N, c.SmallMargin, float64(c.SmallMargin)/float64(c.N), c.D, c.P, c.M) +
		fmt.Sprintf("data      α = %.4g, β = %.4g, σ = %.4g; initial weights σ₀ = %.4g\n",
			c.Alpha, c.Beta, c.Sigma, c.Sigma0) +
		fmt.Sprintf("descent   GD and %s; η = %g, η_eff = %.4g for GD+M; at most %d steps\n",
			c.gdm().Rule, c.Eta, c.gdm().EffectiveRate(c.Eta), c.T)
	fmt.Fprint(stdout, settings)
	if r.dryRun {
		return s.printPlan(ctx, c.plan(r))
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	if err := durable.RemoveTemporary(c.Out); err != nil {
		return fmt.Errorf("-out: %w", err)
	}

	experiments := s.experiments()
	report := newReport(cli.CommandLine("go run ./synthetic", args...),
		strings.ReplaceAll(settings, "\n", "\n\n"))
	var diverged error // of the parts with a run that diverged; the other parts go on
	for _, p := range c.plan(r) {
		section, err := experiments[p.name](ctx, p.settings)
		if divergedErr := (*cli.DivergedError)(nil); errors.As(err, &divergedErr) {
			diverged = errors.Join(diverged, err)
		} else if err != nil {
			return err
		}
		report.Sections = append(report.Sections, section)
	}
	if r.all {
		path := s.out("synthetic.html")
		if err := report.Write(path); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "page      %s\n", path)
	}
	return diverged
}

// experiments are the parts by their names.
func (s *session) experiments() map[string]func(context.Context, Settings) (page.Section, error) {
	return map[string]func(context.Context, Settings) (page.Section, error){
		partFigure2: s.figure2, partFigure3: s.figure3, partTheory: s.theory,
		partMechanism: s.mechanism, partScales: s.scales,
		partTable1: s.gaussianTable, partMap: s.etaGammaMap,
	}
}

// part is an experiment with its settings.
type part struct {
	name     string
	settings Settings
}

// plan lists the parts of a command. With -all and more than 1,000 samples, the experiments with
// many settings for each seed use the quick preset with 5 seeds instead, and the map is drawn for
// both.
func (c Config) plan(r request) []part {
	var plan []part
	for _, name := range r.parts {
		p := part{name, c.Settings}
		if r.all && c.N > quickN {
			quick := preset("quick", defaultD)
			quick.Seed = c.Seed
			switch {
			case name == partMap:
				plan = append(plan, part{name, quick})
			case name == partMechanism, name == partScales && r.preset != "theory":
				// The scales of the theory preset follow from its own d.
				quick.Seeds = 5
				p.settings = quick
			}
		}
		plan = append(plan, p)
	}
	return plan
}

// out is the path of a picture or table.
func (s *session) out(name string) string { return filepath.Join(s.execution.Out, name) }
