// The codec: datagrams to bytes and back. It does no I/O.
export { crc32c } from "./crc32c.js";
export { decode, newDatagram, peekCluster } from "./read.js";
export * from "./types.js";
export {
  type Control, type Out, type StartFields, DataWriter, fragmentRoom, messageRoom, nakRoom, seal, withStart, writeControl, writeData,
} from "./write.js";
