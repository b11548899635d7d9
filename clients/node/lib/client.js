// SPDX-License-Identifier: Apache-2.0
// client.js: an object with a function for each method of a service, from its protobufjs description.
'use strict';

const {StreamCall, UnaryCall} = require('./call');

const IDEMPOTENT = new Set(['IDEMPOTENT', 'NO_SIDE_EFFECTS']);

function methodOf(service, m) {
  m.resolve();
  return {
    path: `/${service.fullName.slice(1)}/${m.name}`, // without the leading dot
    requestType: m.resolvedRequestType,
    responseType: m.resolvedResponseType,
    clientStreams: m.requestStream === true,
    serverStreams: m.responseStream === true,
    idempotent: IDEMPOTENT.has(m.options?.idempotency_level),
  };
}

function functionOf(channel, method) {
  if (method.clientStreams)
    return (options) => channel.call(StreamCall, method, undefined, options);
  const CallType = method.serverStreams ? StreamCall : UnaryCall;
  return (request, options) => channel.call(CallType, method, request, options);
}

// root: a loaded protobufjs root. Throws if it has no service of this name.
function createClient(channel, root, serviceName) {
  const service = root.lookupService(serviceName);
  const client = {};
  for (const m of service.methodsArray)
    client[m.name[0].toLowerCase() + m.name.slice(1)] = functionOf(channel, methodOf(service, m));
  return Object.freeze(client);
}

module.exports = {createClient};
