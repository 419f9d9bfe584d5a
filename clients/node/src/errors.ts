// The errors that this package returns, by the names of docs/api.md.

/** What went wrong, by the names of docs/api.md. */
export type ErrorCode =
  | "ErrState" | "ErrClosed" | "ErrBackPressure" | "ErrTooLarge" | "ErrTopic" | "ErrKind" | "ErrArgument" | "ErrConfig"
  | "ErrUnsupported" | "ErrMalformed" | "ErrTimeout";

/** An error of this package. code says which one; codes has that one and the ones that it also counts as. */
export class BlazeError extends Error {
  readonly codes: readonly ErrorCode[];

  constructor(readonly code: ErrorCode, message: string, options?: { cause?: unknown; also?: ErrorCode }) {
    super(`blaze: ${message}`, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = "BlazeError";
    this.codes = options?.also ? [code, options.also] : [code];
  }

  /** Reports whether the error counts as code. */
  is(code: ErrorCode): boolean {
    return this.codes.includes(code);
  }
}

/** Something that the Node member lacks, refused by name. */
export function unsupported(what: string): BlazeError {
  return new BlazeError("ErrUnsupported", `${what} is not supported by the Node member`);
}

/** The flow control of a stream has no room now: made once, since it is thrown often. */
export const backPressure = new BlazeError("ErrBackPressure", "the window is full; receivers have to report first");
