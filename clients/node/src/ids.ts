import { BlazeError } from "./errors.js";
import { type Id, idBytes, idOf } from "./wire/types.js";

/**
 * Names one start of a channel: 16 random bytes in hexadecimal, in four groups of eight digits, as in
 * 3f2a91c4-00d1b7e8-5a6c0f12-9be4d370. It is drawn at each start and never reused.
 */
export type MemberID = string;

export function memberID(id: Id): MemberID {
  const h = idBytes(id).toString("hex");
  return `${h.slice(0, 8)}-${h.slice(8, 16)}-${h.slice(16, 24)}-${h.slice(24)}`;
}

/** The bytes of a MemberID; the 32 digits without hyphens are taken too. */
export function parseMemberID(s: string): Id {
  const digits = /^[0-9a-f]{8}(-[0-9a-f]{8}){3}$/i.test(s) ? s.replaceAll("-", "") : s;
  if (!/^[0-9a-f]{32}$/i.test(digits)) {
    throw new BlazeError("ErrArgument", `member id ${JSON.stringify(s)}: must be 32 hexadecimal digits, in four groups of eight`);
  }
  return idOf(Buffer.from(digits, "hex"));
}
