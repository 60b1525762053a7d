package imagerun

import (
	"context"

	"momentum/datasets"
	"momentum/internal/descent"
	"momentum/internal/rundir"
)

// noiseChunk is the number of images of a gradient of which -diagnose=noise takes the spread. It is
// not -chunk, which must not change a result.
const noiseChunk = 32

// noiseImages are the diagnosed images in chunks for the noise of gradients, at least two.
func (r *experiment) noiseImages(train *datasets.Images) (*descent.Data, error) {
	if !r.diagnoses(noise) {
		return nil, nil
	}
	if n := r.DiagnoseImages; n > 0 && n < train.N() {
		train = train.Slice(0, n)
	}
	return descent.NewData(r.backend, train,
		descent.Layout{Chunk: max(1, min(noiseChunk, train.N()/2))})
}

// gradientNoise measures how much the gradients of single images differ at the present weights.
func (t *training) gradientNoise(ctx context.Context) ([]rundir.Value, error) {
	n, err := t.trainer.GradientNoise(ctx, t.noiseData)
	return []rundir.Value{{Name: "gradient_noise", X: n.Variance},
		{Name: "noise_scale", X: n.Scale()}}, err
}
