/** How fast a run goes, from all that it has measured: what the time that is left is reckoned from. */

/** The time that a run will still take. */
export interface TimeLeft {
  /** Of a step; null before one has been measured. */
  secondsPerStep: number | null;
  /** Of all evaluations to come. */
  evaluationSeconds: number;
}

/** Measures a run. The first step, in which drivers still compile and buffers fill, is left out where others are known. */
export class Pace {
  #steps = 0;
  #seconds = 0;
  #evaluations = 0;
  #evaluationSeconds = 0;
  /** Guess of an evaluation's length in trained steps, until one has been made. */
  readonly #stepsPerEvaluation: number;

  constructor(options: { stepsPerEvaluation: number }) {
    this.#stepsPerEvaluation = options.stepsPerEvaluation;
  }

  /** Steps that were done in a time; the GPU must have been waited for at both ends. */
  addSteps(steps: number, seconds: number): void {
    this.#steps += steps;
    this.#seconds += seconds;
  }

  addEvaluation(seconds: number): void {
    this.#evaluations++;
    this.#evaluationSeconds += seconds;
  }

  /** @param evaluations Those to come. */
  left(evaluations: number): TimeLeft {
    const secondsPerStep = this.#steps > 0 ? this.#seconds / this.#steps : null;
    const each = this.#evaluations > 0
      ? this.#evaluationSeconds / this.#evaluations
      : (secondsPerStep ?? 0) * this.#stepsPerEvaluation;
    return { secondsPerStep, evaluationSeconds: evaluations * each };
  }
}
