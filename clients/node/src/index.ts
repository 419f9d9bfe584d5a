// A member of a Blaze channel. The names are those of docs/api.md.
export { Channel, newClusterChannel, newGroupChannel, type State, type Stats, type StreamEvent } from "./channel.js";
export { type Config, CongestionControl, FlowControl, type FullConfig, type Logger, Protocol, SlowConsumer, type TopicConfig } from "./config.js";
export type { EventKind, LossReason } from "./core/core.js";
export { BlazeError, type ErrorCode } from "./errors.js";
export { type MemberID, parseMemberID } from "./ids.js";
export { type Any, MAX_NESTING, Message } from "./message.js";
export type { Publisher } from "./publisher.js";
export { type Delivery, Kind, type Loss, type SubscribeOptions, type Subscription } from "./subscription.js";
export { validatePattern, validateTopic } from "./topic.js";
export { parseURI, type URI } from "./uri.js";
export { Value, type ValueKind, type ValueLike } from "./value.js";
