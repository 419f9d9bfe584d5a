// What one stream misses: runs of datagrams, by their place in the stream.

/** A run of missing datagrams, first <= n < end, that were noticed and asked for together. Times are ns. */
export interface GapRun {
  first: number;
  end: number;
  noticed: number;
  /** When to ask, or to ask again. */
  at: number;
  /** When it was last asked for; 0: never. */
  asked: number;
  /** When it was first asked for; 0: never, or there is no room for it. */
  since: number;
  attempts: number;
  failed: number;
  failedAt: number;
  /** After how many requests in a row nothing came from the sender. */
  unheard: number;
  /** How often it was asked for as the stream's lowest gap. */
  lowest: number;
  byGroup: boolean;
}

/** The most runs that one stream keeps. What is missing beyond them is noticed when some have been closed. */
export const MAX_RUNS = 1024;

export function newRun(first: number, end: number, noticed: number): GapRun {
  return {
    first, end, noticed, at: noticed, asked: 0, since: 0, attempts: 0, failed: 0, failedAt: 0, unheard: 0, lowest: 0, byGroup: false,
  };
}

/** Runs in order of their numbers. They never overlap. */
export class Gaps {
  list: GapRun[] = [];

  get full(): boolean {
    return this.list.length >= MAX_RUNS;
  }

  /** The index of the run that contains n, or of the first one above n. */
  find(n: number): number {
    let lo = 0;
    let hi = this.list.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.list[mid]!.end <= n) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  add(r: GapRun): void {
    this.list.splice(this.find(r.first), 0, r);
  }

  /** Takes out n, which came, and returns what the run was that it was in. */
  remove(n: number): GapRun | undefined {
    const i = this.find(n);
    const r = this.list[i];
    if (r === undefined || n < r.first) return undefined;
    const was = { ...r };
    r.failed = 0;
    if (r.first === n && r.end === n + 1) this.list.splice(i, 1);
    else if (r.first === n) r.first++;
    else if (r.end === n + 1) r.end--;
    else {
      this.split(i, n + 1);
      r.end = n;
    }
    return was;
  }

  private split(i: number, n: number): void {
    const r = this.list[i]!;
    this.list.splice(i + 1, 0, { ...r, first: n });
    r.end = n;
  }

  /** Makes the part of run i that lies in first..end a run of its own, where there is room, and returns its index. */
  isolate(i: number, first: number, end: number): number {
    if (this.list[i]!.first < first && !this.full) this.split(i++, first);
    if (end < this.list[i]!.end && !this.full) this.split(i, end);
    return i;
  }

  /** Takes out all below n. */
  below(n: number): void {
    const i = this.find(n);
    if (i > 0) this.list.splice(0, i);
    const r = this.list[0];
    if (r && r.first < n) r.first = n;
  }

  /** Takes out n and all above it. */
  above(n: number): void {
    let i = this.find(n);
    const r = this.list[i];
    if (r && r.first < n) {
      r.end = n;
      i++;
    }
    this.list.length = i;
  }
}
