// SPDX-License-Identifier: Apache-2.0
// status.js: gRPC's status codes, the error that a failed call ends with, and its typed details.
'use strict';

const {Reader} = require('protobufjs');

const NAMES = [
  'OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS',
  'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED',
  'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED',
];

const StatusCode = Object.freeze(Object.fromEntries(NAMES.map((name, code) => [name, code])));

// Calls `take(number, reader)` for each length-delimited field of a message, and passes over the others. What is
// malformed ends it without a word: details are a courtesy.
function eachBytes(data, take) {
  const reader = Reader.create(data);
  try {
    while (reader.pos < reader.len) {
      const tag = reader.uint32();
      if ((tag & 7) === 2)
        take(tag >>> 3, Buffer.from(reader.bytes()));
      else
        reader.skipType(tag & 7);
    }
  } catch {
    return;
  }
}

// The Any messages (1: type_url, 2: value) in a packed nrpc.v1.Status (3: details).
function readDetails(data) {
  const details = [];
  eachBytes(data, (number, any) => {
    if (number !== 3)
      return;
    const detail = {typeUrl: '', value: Buffer.alloc(0)};
    eachBytes(any, (field, bytes) => {
      if (field === 1)
        detail.typeUrl = bytes.toString();
      else if (field === 2)
        detail.value = bytes;
    });
    details.push(detail);
  });
  return details;
}

class RpcError extends Error {
  #packed;
  #details = null;

  constructor(code, message, {headers, trailers, details} = {}) {
    super(message);
    this.name = 'RpcError';
    this.code = code;
    this.codeName = NAMES[code] ?? 'UNKNOWN';
    this.headers = headers ?? Object.create(null);
    this.trailers = trailers ?? Object.create(null);
    this.#packed = details ?? Buffer.alloc(0);
  }

  get details() {
    this.#details ??= readDetails(this.#packed);
    return this.#details;
  }

  detail(type) {
    const end = `/${type.fullName.slice(1)}`; // without the leading dot
    const found = this.details.find((detail) => detail.typeUrl.endsWith(end));
    try {
      return found ? type.decode(found.value) : null;
    } catch {
      return null;
    }
  }
}

module.exports = {RpcError, StatusCode};
