// Synthetic shows what the paper's theory is about: a cubic convolutional network on data of which
// few samples have a small margin, trained by full-batch gradient descent without (GD) and with
// momentum (GD+M).
//
//	go run ./synthetic
//
// config.go are the settings, bundle.go trains one bundle of them in a run folder, and each other
// file is one experiment: which bundles it wants, and the picture and table made of their folders.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"momentum/internal/backend"
	"momentum/internal/cli"
)

const manual = `synthetic trains the paper's cubic CNN on its distribution D by full-batch gradient descent (GD) or gradient descent with momentum (GD+M).

  go run ./synthetic                          Figure 3 with 1,000 samples, in seconds
  go run ./synthetic -preset=paper            Figure 3 with the paper's 20,000 samples and 5 seeds
  go run ./synthetic -figure=2                the data in two dimensions
  go run ./synthetic -map                     what GD and GD+M learn over a grid of (η, γ)
  go run ./synthetic -theory                  the theorems and lemmas as a checklist
  go run ./synthetic -mechanism               interventions on momentum, and controls
  go run ./synthetic -scales                  c, Ξ and 𝒢 over d, β and γ
  go run ./synthetic -table=1                 Gaussian data: where momentum does nothing
  go run ./synthetic -all -preset=paper       everything, and synthetic.html
  go run ./synthetic -preset=theory -d=100    constants scaled with d as the paper's theory has them

A sample has P patches in R^d: one is the signal, y·α·w* or, in a small-margin sample (Z2), y·β·w*; the others are noise orthogonal to w*. The network is
f_W(X) = Σ_r Σ_j ⟨w_r, X[j]⟩³ with m neurons. A step of GD is w ← w − η∇L(w); GD+M is g ← γg + (1−γ)∇L(w), w ← w − ηg in the damped form, the
paper's, and b ← γb + ∇L(w), w ← w − ηb in the undamped one.

Each training leaves a run folder under -runs, is not repeated when it is done, and goes on where it was when it was stopped or killed. Pictures and
tables are drawn from those folders into -out. A setting that diverges is marked, and the others go on.
Exit status: 0 done, 1 error, 2 usage, 3 GD or GD+M diverged in Figure 3, 75 stopped by a signal with its work saved.
`

func main() { os.Exit(cli.Main("synthetic", run)) }

func run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	c, do, err := parse(args)
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
	s := &session{be: be, do: do, exec: c.Execution, table1: c.Table1, stdout: stdout,
		stderr: stderr}
	fmt.Fprintf(stdout, "backend   %s on %s: %s\n", be.Kind, be.Device, be.Why)
	fmt.Fprintf(stdout, "preset    %s: N = %d samples, %d of them with a small margin (μ = "+
		"%.3g), d = %d, P = %d, m = %d\n",
		do.preset, c.N, c.SmallMargin, float64(c.SmallMargin)/float64(c.N), c.D, c.P, c.M)
	fmt.Fprintf(stdout, "data      α = %.4g, β = %.4g, σ = %.4g; initial weights σ0 = %.4g\n",
		c.Alpha, c.Beta, c.Sigma, c.Sigma0)
	fmt.Fprintf(stdout, "descent   GD and %s; η = %g, η_eff = %.4g for GD+M; at most %d steps\n",
		c.gdm().Rule, c.Eta, c.gdm().EffectiveRate(c.Eta), c.T)
	if do.dryRun {
		for _, p := range c.plan(do) {
			fmt.Fprintf(stdout, "part      %s %s\n", p.name, p.settings)
		}
		return nil
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return fmt.Errorf("-out: %w", err)
	}

	experiments := map[string]func(context.Context, Settings) (section, error){
		partFigure2: s.figure2, partFigure3: s.figure3, partTheory: s.theory,
		partMechanism: s.mechanism, partScales: s.scales,
		partTable1: s.gaussianTable, partMap: s.etaGammaMap,
	}
	var page page
	var first error // of a run that diverged: the other parts are still made
	for _, p := range c.plan(do) {
		section, err := experiments[p.name](ctx, p.settings)
		var diverged *cli.DivergedError
		if errors.As(err, &diverged) {
			first = errors.Join(first, err)
		} else if err != nil {
			return err
		}
		page.add(section)
	}
	if do.all {
		path := s.out("synthetic.html")
		if err := page.write(path); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "page      %s\n", path)
	}
	return first
}

// part is an experiment and what it is made with.
type part struct {
	name     string
	settings Settings
}

// plan lists what a command does. With -all, the experiments that have many settings for each seed
// are made in the quick preset's world of 1,000 samples, with 5 seeds, whatever the preset; the map
// is made in both worlds.
func (c Config) plan(do command) []part {
	var plan []part
	for _, name := range do.parts {
		p := part{name, c.Settings}
		if do.all && c.N > quickN {
			quick := preset("quick", 30)
			quick.Seed = c.Seed
			switch {
			case name == partMap:
				plan = append(plan, part{name, quick})
			case name == partMechanism, name == partScales && do.preset != "theory":
				// which goes over d with N as its first
				quick.Seeds = 5
				p.settings = quick
			}
		}
		plan = append(plan, p)
	}
	return plan
}

// out is the path of a picture or table.
func (s *session) out(name string) string { return filepath.Join(s.exec.Out, name) }
