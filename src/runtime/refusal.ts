/** Why this machine does not run something, and the way out for whoever looks after it (empty when there is none). */
export interface Refusal {
  readonly reason: string;
  readonly hint: string;
}
