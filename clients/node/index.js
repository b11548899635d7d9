// SPDX-License-Identifier: Apache-2.0
// index.js: what the package offers; index.d.ts describes it.
'use strict';

const {Channel} = require('./lib/channel');
const {createClient} = require('./lib/client');
const {RpcError, StatusCode} = require('./lib/status');

module.exports = {Channel, RpcError, StatusCode, createClient};
