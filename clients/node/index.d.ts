// SPDX-License-Identifier: Apache-2.0
// index.d.ts: what the package offers, for editors and TypeScript. Times are in ms, sizes in bytes.
import type {Message, Root, Type} from 'protobufjs';

/** gRPC's status codes. */
export const StatusCode: Readonly<{
  OK: 0; CANCELLED: 1; UNKNOWN: 2; INVALID_ARGUMENT: 3; DEADLINE_EXCEEDED: 4; NOT_FOUND: 5; ALREADY_EXISTS: 6;
  PERMISSION_DENIED: 7; RESOURCE_EXHAUSTED: 8; FAILED_PRECONDITION: 9; ABORTED: 10; OUT_OF_RANGE: 11;
  UNIMPLEMENTED: 12; INTERNAL: 13; UNAVAILABLE: 14; DATA_LOSS: 15; UNAUTHENTICATED: 16;
}>;

/** Metadata to send: text, or bytes under a key that ends in "-bin". At most 64 entries and 8 KiB. */
export type MetadataInput = Record<string, string | Uint8Array | Array<string | Uint8Array>>;

/** Metadata that arrived: text, or Buffers under a key that ends in "-bin". */
export type Metadata = Record<string, Array<string | Buffer>>;

/** How a call ended if not with OK. */
export class RpcError extends Error {
  readonly code: number;
  /** "UNAVAILABLE"; "UNKNOWN" for a number that is none of gRPC's. */
  readonly codeName: string;
  readonly headers: Metadata;
  readonly trailers: Metadata;
  /** Packed messages, as the server sent them. */
  readonly details: Array<{typeUrl: string; value: Buffer}>;
  /** The first of the details that is of this type; null: there is none. */
  detail(type: Type): Message | null;
}

export interface TlsOptions {
  /** Whom to trust, in PEM; left out: Node's own list. */
  ca?: string | Buffer | Array<string | Buffer>;
  /** Our certificate and its key, in PEM, for a server that asks. */
  cert?: string | Buffer;
  key?: string | Buffer;
  passphrase?: string;
  /** The name that the server's certificate must have, if it is not the url's host. */
  serverName?: string;
}

export interface ChannelOptions {
  /** Sent with every call as "authorization: Bearer <token>", unless the call's metadata says otherwise. */
  token?: string | (() => string);
  /** For tls+tcp urls. */
  tls?: TlsOptions;
  /** Both directions; larger is RESOURCE_EXHAUSTED. 4 MiB. */
  maxMessageBytes?: number;
  /** Calls under way at once; more wait in line. 1024. */
  maxOutstanding?: number;
  /** Calls that may wait in line; more fail RESOURCE_EXHAUSTED. 4096. */
  maxWaiting?: number;
  /** How long a call without waitForReady waits for a connection. 2000. */
  connectTimeoutMs?: number;
  /** The pause before connecting again, doubled each time, with jitter. 20, at most 1000. */
  reconnectMinMs?: number;
  reconnectMaxMs?: number;
  /** A silent connection with calls on it is asked for a sign of life after this; below 0: never. 10000. */
  keepaliveMs?: number;
  /** And closed after this. 5000. */
  keepaliveTimeoutMs?: number;
  /** Of a stream's messages received and not yet read. 256 KiB. */
  streamWindowBytes?: number;
  /** Of unary calls of idempotent methods that ended UNAVAILABLE: 4 attempts in all, after 50, 100, ... 2000 ms. */
  retry?: {maxAttempts?: number; backoffMs?: number; backoffMaxMs?: number};
}

/**
 * A connection to one server: dialed in the background, and again whenever it was lost. Keeps the process alive until
 * it is closed. Throws a TypeError for a malformed url or an unknown option.
 */
export class Channel {
  /**
   * url: tcp://host:port, tls+tcp://host:port or ipc:///path; or several, separated by commas, of servers that do the same: one
   * is chosen by chance and kept while its connection lasts.
   */
  constructor(url: string, options?: ChannelOptions);
  readonly url: string;
  readonly isConnected: boolean;
  /** Ends all calls with CANCELLED; the promise is kept when the connection is gone. */
  close(): Promise<void>;
}

export interface CallOptions {
  /**
   * The deadline, from now; left out, or over 31 years: none; 0 and less: it has passed. What remains of it travels with the
   * call. A TypeError: it is no number.
   */
  timeoutMs?: number;
  metadata?: MetadataInput;
  /** Wait for a connection until the deadline, instead of failing UNAVAILABLE. */
  waitForReady?: boolean;
  /** Cancels the call when it is aborted. */
  signal?: AbortSignal;
}

interface Call {
  /** Ends the call with CANCELLED, here and in the server; nothing happens if it has ended. */
  cancel(): void;
  /** Null until the first message, or the end, arrived. */
  readonly headers: Metadata | null;
  /** Null until the end. */
  readonly trailers: Metadata | null;
  readonly attempts: number;
}

/** A call without streams: a promise of its response. It rejects with an RpcError. */
export interface UnaryCall<Response = any> extends Call, PromiseLike<Response> {
  catch: Promise<Response>['catch'];
  finally: Promise<Response>['finally'];
}

/** A call in which one side or both stream. */
export interface StreamCall<Request = any, Response = any> extends Call, AsyncIterable<Response> {
  /**
   * Sends one message. Kept when the server has room for it, so wait for it; an RpcError: the call has ended (reading
   * says how), end() was called, the message is too large, or over 1024 messages wait.
   */
  write(message: Request): Promise<void>;
  /** Says that no more messages come, after all that were written. */
  end(): void;
  /** The next message; null: the call has ended well; an RpcError: it has not. Leaving a `for await` cancels it. */
  read(): Promise<Response | null>;
  /** The response of a server that does not stream. */
  result(): Promise<Response>;
}

/** A function for each method: unaryCall for UnaryCall. Methods whose client streams take no request. */
export type Client = Readonly<Record<string, (...args: any[]) => any>>;

/** Throws if the root has no service of this full name ("package.Service"). */
export function createClient(channel: Channel, root: Root, serviceName: string): Client;
