package imagerun

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"momentum/internal/cli"
	"momentum/internal/durable"
	"momentum/internal/figure"
	"momentum/internal/rundir"
	"momentum/internal/tbevents"
)

// The files for TensorBoard. It reads them in the order of their names and goes back to none.
const (
	settingsEvents = "events.out.tfevents.0.hparams"
	eventsFile     = rundir.EventsFile
)

// derivedFiles follow from the metrics and the configuration.
func derivedFiles() []string {
	return []string{"metrics.csv", "curves.svg", "curves.png", pageFile,
		eventsFile, settingsEvents}
}

// show prints the result of a run that has ended, if its files are as it left them. Damaged ones
// that follow from the metrics are made anew.
func (r *experiment) show(ctx context.Context, dir *rundir.Dir) error {
	x, err := executionOf(dir)
	if err != nil {
		return err
	}
	remake, err := dir.Verify(derivedFiles(), x.keptWeights(dir.State())...)
	if err != nil {
		return err
	}
	if len(remake) > 0 {
		if err := r.remake(ctx, dir, remake); err != nil {
			return err
		}
	}
	if dir.State() == rundir.Diverged {
		return &cli.DivergedError{Err: fmt.Errorf("%s: has diverged before; -fresh starts over",
			dir.Path())}
	}
	fmt.Fprintln(r.stdout, "          is done; -fresh starts over")
	if r.SaveWeightsEvery > 0 && r.SaveWeightsEvery != x.SaveWeightsEvery {
		fmt.Fprintf(r.stdout, "          it was executed with -save-weights-every=%d, not %d\n",
			x.SaveWeightsEvery, r.SaveWeightsEvery)
	}
	return r.report(ctx, dir)
}

// executionOf is how a run was executed: not by this command, which may be slim when the run was
// not.
func executionOf(dir *rundir.Dir) (x Execution, err error) {
	_, _, text, err := rundir.ReadConfig(dir.Path("config.json"))
	if err != nil {
		return x, err
	}
	if err := json.Unmarshal(text, &x); err != nil {
		return x, fmt.Errorf("%s: execution: %w", dir.Path("config.json"), err)
	}
	return x, nil
}

// keptWeights are the files of weights that a run that is done must have.
func (x *Execution) keptWeights(state rundir.State) []string {
	if x.Slim || state == rundir.Diverged {
		return nil
	}
	return []string{initialWeights, finalWeights}
}

// remake makes the files that follow from the metrics anew, and seals the folder again.
func (r *experiment) remake(ctx context.Context, dir *rundir.Dir,
	damaged []*rundir.DamagedError) error {
	for _, d := range damaged {
		fmt.Fprintf(r.stderr, "warning: %v; it is made anew from the metrics\n", d)
		// A folder may lie in the file's place.
		if err := os.RemoveAll(d.Path); err != nil {
			return err
		}
	}
	if err := r.derive(ctx, dir); err != nil {
		return err
	}
	if _, err := os.Stat(dir.Path(eventsFile)); errors.Is(err, os.ErrNotExist) {
		if err := dir.WriteEvents(ctx, tag); err != nil {
			return err
		}
	}
	return dir.Seal(dir.State())
}

// writeHParams writes the settings for TensorBoard's table of runs.
func (r *experiment) writeHParams(dir *rundir.Dir) error {
	text, err := json.Marshal(r.Settings)
	if err != nil {
		return err
	}
	var settings map[string]any
	if err := json.Unmarshal(text, &settings); err != nil {
		return err
	}
	settings["rule"], settings["eta_eff"] = r.RuleName(), r.Rule().EffectiveRate(r.Rate)
	return durable.WriteFile(dir.Path(settingsEvents), func(w io.Writer) error {
		return tbevents.WriteHParams(w, settings)
	})
}

// derive writes the table, the curves and the page of a run that has ended.
func (r *experiment) derive(ctx context.Context, dir *rundir.Dir) error {
	for _, write := range []func() error{
		func() error { return dir.WriteCSV(ctx) },
		func() error { return figure.Curves(ctx, dir.Path()) },
		func() error { return r.writePage(ctx, dir) },
		func() error { return r.writeHParams(dir) }} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}

// finish writes what follows from the metrics of a run that has ended, and makes it slim.
func (r *experiment) finish(ctx context.Context, dir *rundir.Dir) error {
	if err := r.backend.KeepAutotuned(dir.Path()); err != nil {
		return err
	}
	err := r.derive(ctx, dir)
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w after the last step; the same command adds the curves",
			cli.ErrStopped)
	} else if err != nil || !r.Slim {
		return err
	}
	// An earlier process of the run may not have been slim.
	var errs []error
	for _, name := range []string{initialWeights, finalWeights, epochsFolder, "checkpoints"} {
		errs = append(errs, os.RemoveAll(dir.Path(name)))
	}
	return errors.Join(errs...)
}
