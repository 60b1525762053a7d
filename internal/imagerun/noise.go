package imagerun

import (
	"context"

	"momentum/internal/rundir"
)

// noiseChunk is the number of images of a gradient of which -diagnose=noise takes the spread. It is
// not -chunk, which must not change a result.
const noiseChunk = 32

// gradientNoise measures how much the gradients of single images differ at the present weights.
func (t *training) gradientNoise(ctx context.Context) ([]rundir.Value, error) {
	n, err := t.trainer.GradientNoise(ctx, t.noiseData)
	return []rundir.Value{{Name: "gradient_noise", X: n.Variance},
		{Name: "noise_scale", X: n.Scale()}}, err
}
