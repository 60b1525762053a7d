// Times the step of synthetic_jax.py in plain C on one core. The data layout is like that of
// internal/cubic: labels folded in, the signal patch as a multiple of a known vector, samples on
// the innermost axis, in blocks that stay in the cache. This is what a compiler makes of plain
// loops, not the fastest possible code.
//
//	cc -O3 -march=native -ffast-math -o synthetic c/synthetic.c -lm
//	./synthetic DATA N SMALL P D M S STEPS ALPHA BETA ETA GAMMA
//
// synthetic_jax.py describes the arguments and the output, one line of JSON.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { B = 128 }; // samples of a block

static int N, SMALL, P, D, M, S, STEPS, Q; // Q = P − 1 noise patches
static double ALPHA, BETA, ETA, GAMMA;
static float *x;       // folded noise: blocks of [Q, D, B]
static float *feature; // w* [D]
static float *z, *a;   // products and factors of a block: [M, Q, B]

static void *array(size_t count, size_t size) {
	void *p = calloc(count, size);
	if (!p) {
		fprintf(stderr, "synthetic: no memory for %zu numbers\n", count);
		exit(1);
	}
	return p;
}

static float *numbers(FILE *f, size_t count) {
	float *p = array(count, sizeof *p);
	if (fread(p, sizeof *p, count, f) != count) {
		fprintf(stderr, "synthetic: the data end early\n");
		exit(1);
	}
	return p;
}

// Adds the samples [from, from+n) of block b to the gradient g [M, D] of one setting with weights
// w [M, D]. The signal patches of all of them have size c. Returns their summed loss, or 0 unless
// it is wanted.
static double add(const float *w, float *g, int b, int from, int n, float c, int want_loss) {
	const float *block = x + (size_t)b * Q * D * B;
	float margin[B] = {0}, ell[B], sum = 0;
	double loss = 0;
	for (int r = 0; r < M; r++) {
		float along = 0;
		for (int k = 0; k < D; k++) along += w[r * D + k] * feature[k];
		for (int i = 0; i < n; i++) margin[i] += c * along * c * along * c * along;
		for (int j = 0; j < Q; j++) {
			float *zj = z + (r * Q + j) * B;
			for (int i = 0; i < n; i++) zj[i] = 0;
			for (int k = 0; k < D; k++) {
				const float *xk = block + (j * D + k) * B + from, wk = w[r * D + k];
				for (int i = 0; i < n; i++) zj[i] += wk * xk[i];
			}
			for (int i = 0; i < n; i++) margin[i] += zj[i] * zj[i] * zj[i];
		}
	}
	for (int i = 0; i < n; i++) {
		// e is at most 1: with -ffast-math, 1/(1 + infinity) is not a number.
		float e = expf(-fabsf(margin[i]));
		ell[i] = (margin[i] > 0 ? e : 1) / (1 + e);
		sum += ell[i];
	}
	if (want_loss)
		for (int i = 0; i < n; i++) loss += fmaxf(-margin[i], 0) + log1pf(expf(-fabsf(margin[i])));
	for (int r = 0; r < M; r++) {
		float along = 0;
		for (int k = 0; k < D; k++) along += w[r * D + k] * feature[k];
		for (int k = 0; k < D; k++)
			g[r * D + k] -= sum * 3 * c * along * c * along * c * feature[k] / N;
		for (int j = 0; j < Q; j++)
			for (int i = 0; i < n; i++) {
				float v = z[(r * Q + j) * B + i];
				a[(r * Q + j) * B + i] = 3 * v * v * ell[i] / N;
			}
	}
	for (int j = 0; j < Q; j++)
		for (int k = 0; k < D; k++) {
			const float *xk = block + (j * D + k) * B + from;
			for (int r = 0; r < M; r++) {
				const float *ar = a + (r * Q + j) * B;
				float dot = 0;
				for (int i = 0; i < n; i++) dot += ar[i] * xk[i];
				g[r * D + k] -= dot;
			}
		}
	return loss;
}

// The gradient g [S, M, D] of all settings; the mean losses [S], if not NULL.
static void gradient(const float *w, float *g, double *loss) {
	for (int i = 0; i < S * M * D; i++) g[i] = 0;
	for (int b = 0; b * B < N; b++) {
		int end = N < (b + 1) * B ? N - b * B : B;
		// The samples before the cut have a small margin.
		int cut = SMALL < b * B ? 0 : SMALL - b * B < end ? SMALL - b * B : end;
		for (int s = 0; s < S; s++) {
			const float *ws = w + s * M * D;
			double sum = 0;
			if (cut > 0) sum += add(ws, g + s * M * D, b, 0, cut, BETA, loss != NULL);
			if (cut < end) sum += add(ws, g + s * M * D, b, cut, end - cut, ALPHA, loss != NULL);
			if (loss) loss[s] += sum / N;
		}
	}
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(int argc, char **argv) {
	int *sizes[] = {&N, &SMALL, &P, &D, &M, &S, &STEPS};
	double *rates[] = {&ALPHA, &BETA, &ETA, &GAMMA};
	if (argc != 13) {
		fprintf(stderr, "synthetic: want 12 arguments, got %d\n", argc - 1);
		return 2;
	}
	for (int i = 0; i < 7; i++) *sizes[i] = atoi(argv[2 + i]);
	for (int i = 0; i < 4; i++) *rates[i] = atof(argv[9 + i]);
	Q = P - 1;
	FILE *f = fopen(argv[1], "rb");
	if (!f) {
		perror(argv[1]);
		return 1;
	}
	float *y = numbers(f, N), *signal = numbers(f, N), *position = numbers(f, N);
	float *noise = numbers(f, (size_t)N * Q * D);
	feature = numbers(f, D);
	float *first = numbers(f, M * D);
	(void)signal, (void)position; // not needed: SMALL gives the sizes, positions have no effect

	x = array((size_t)(N + B - 1) / B * Q * D * B, sizeof *x);
	for (int i = 0; i < N; i++)
		for (int j = 0; j < Q; j++)
			for (int k = 0; k < D; k++) {
				size_t to = (((size_t)(i / B) * Q + j) * D + k) * B + i % B;
				x[to] = y[i] * noise[((size_t)i * Q + j) * D + k];
			}
	z = array(M * Q * B, sizeof *z);
	a = array(M * Q * B, sizeof *a);
	int all = S * M * D;
	float *w = array(all, sizeof *w), *buffer = array(all, sizeof *buffer);
	float *g = array(all, sizeof *g);
	for (int i = 0; i < all; i++) w[i] = first[i % (M * D)];

	double seconds = 0;
	for (int call = 0; call < 2; call++) { // the first one warms up
		double start = now();
		for (int t = 0; t < STEPS; t++) {
			gradient(w, g, NULL);
			for (int i = 0; i < all; i++) {
				buffer[i] = GAMMA * buffer[i] + (1 - GAMMA) * g[i];
				w[i] -= ETA * (i / (M * D) + 1) / S * buffer[i];
			}
		}
		seconds = now() - start;
	}
	double *loss = array(S, sizeof *loss);
	gradient(w, g, loss);
	printf("{\"who\": \"c\", \"version\": \"cc %s\", \"device\": \"one core\", ", __VERSION__);
	printf("\"steps_per_s\": [%.3f], \"losses\": [", STEPS * S / seconds);
	for (int s = 0; s < S; s++) printf("%s%.9g", s ? ", " : "", loss[s]);
	printf("]}\n");
}
