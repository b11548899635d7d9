// SPDX-License-Identifier: Apache-2.0
// link.js: the messages of one connection: counts and acknowledges them, holds back what the server has no room for
// (docs/PROTOCOL.md, "Flow control"). We send each frame in a message of its own.
'use strict';

const {Kind} = require('./frame');
const {CONNECTION_ID} = require('./transport');

const WINDOW = 48; // messages on the way
const ACK_DUE = 4; // received messages after which they are acknowledged at once

class Link {
  #emit;
  #sent = 0; // by us; all counts are modulo 2^32
  #acked = 0; // of these, what the server says it has
  #received = 0;
  #told = 0; // what we last said of that
  #held = [];

  saidGoodbye = false;

  // emit(id, frame) writes a frame; `frame.ack` is set by then.
  constructor(emit) {
    this.#emit = emit;
  }

  get heldCount() {
    return this.#held.length;
  }

  #onTheWay() {
    return (this.#sent - this.#acked) >>> 0;
  }

  hasRoom() {
    return !this.saidGoodbye && this.#held.length === 0 && this.#onTheWay() < WINDOW;
  }

  #put(id, frame) {
    frame.ack = this.#told = this.#received;
    this.#sent = (this.#sent + 1) >>> 0;
    this.#emit(id, frame);
  }

  // A frame of a call, as soon as the window allows it.
  send(id, frame) {
    if (this.hasRoom())
      this.#put(id, frame);
    else if (!this.saidGoodbye)
      this.#held.push({id, frame});
  }

  // A frame of the connection, which waits for nothing.
  say(kind) {
    if (this.saidGoodbye)
      return;
    if (kind === Kind.GOODBYE) {
      this.saidGoodbye = true;
      this.#held = [];
    }
    this.#put(CONNECTION_ID, {kind});
  }

  // Drops what is held of a call. True: its REQUEST was never sent.
  forget(id) {
    if (this.#held.length === 0)
      return false;
    const unsent = this.#held.some((h) => h.id === id && h.frame.kind === Kind.REQUEST);
    this.#held = this.#held.filter((h) => h.id !== id);
    return unsent;
  }

  // A message arrived, with this frame: counts it, and sends what its ack made room for.
  heard(frame) {
    this.#received = (this.#received + 1) >>> 0;
    // A number that was overtaken, or that is no number of ours, says nothing.
    if (frame.ack === 0 || (frame.ack - this.#acked) >>> 0 > this.#onTheWay())
      return;
    this.#acked = frame.ack;
    while (this.#held.length > 0 && this.#onTheWay() < WINDOW) {
      const {id, frame: next} = this.#held.shift();
      this.#put(id, next);
    }
  }

  // After heard and whatever that led to: an answer that was sent has said it.
  acknowledge() {
    if ((this.#received - this.#told) >>> 0 >= ACK_DUE)
      this.say(Kind.ACK);
  }
}

module.exports = {Link, WINDOW};
