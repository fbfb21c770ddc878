import t from 'tap'
import {
  decodeBlock,
  decodeHead,
  encodeBlock,
  encodeHead,
  encodeRecord,
  idBytes,
  isIntact,
  openEntry,
  positionKey,
  positionOfId,
  removedRecord,
  StoredRecord,
  sealEntry,
  sealRecord
} from '../../src/log/format.js'
import { type Random, seeded } from '../helpers/random.js'

const LOG = idBytes('1b4e28ba-2fa1-4c3d-9f3b-0a1b2c3d4e5f')

t.test('a decoded record has the fields of the encoded event', async (t) => {
  const random = seeded(t)
  for (let i = 0; i < 500; i++) {
    const stream = text(random, 1, 40)
    const maybe = <T>(value: T) => (random.chance(0.5) ? value : undefined)
    const content = {
      id: random.bytes(16),
      clientId: random.chance(0.5),
      type: text(random, 1, 30),
      occurred: maybe('2026-11-23T10:15:29.5+01:00'),
      tags: maybe(Array.from({ length: random.int(1, 32) }, () => text(random, 1, 20))),
      contentType: maybe('application/octet-stream'),
      data: maybe(random.bytes(random.int(0, 300))),
      metadata: maybe(Buffer.from('{"$correlationId":"c"}'))
    }
    const place = { number: random.int(0, 2 ** 47), created: random.int(0, 2 ** 44) }
    const position = random.int(0, 2 ** 52)
    const bytes = sealRecord(encodeRecord(stream, content), positionKey(position), place, LOG)
    t.ok(isIntact(position, bytes))
    const record = new StoredRecord(position, bytes)
    t.same(
      {
        stream: record.stream,
        number: record.number,
        created: record.created,
        id: record.id,
        clientId: record.clientId,
        type: record.type,
        occurred: record.occurred,
        tags: record.hasTags ? record.tags : undefined,
        contentType: record.contentType,
        data: record.data,
        metadata: record.metadata
      },
      { stream, ...place, ...content }
    )
  }
})

t.test('the checksum of a record detects any flipped bit and a wrong position', async (t) => {
  const content = { id: Buffer.alloc(16, 7), clientId: true, type: 'T', tags: ['a'], data: Buffer.from('{"a":1}') }
  const bytes = sealRecord(encodeRecord('s', content), positionKey(5), { number: 3, created: 1e12 }, LOG)
  let missed = 0
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const copy = Buffer.from(bytes)
    copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7))
    if (isIntact(5, copy)) missed++
  }
  t.equal(missed, 0, 'no flipped bit is missed')
  t.notOk(isIntact(6, bytes), 'the record is not intact under another key')
  t.notOk(isIntact(5, bytes.subarray(0, bytes.length - 1)), 'a truncated record is not intact')
  t.notOk(isIntact(5, Buffer.alloc(0)), 'an empty value is not intact')
})

t.test(
  'an id that the log generates is a UUID of version 8 with its position and the identity of the log',
  async (t) => {
    const random = seeded(t)
    const other = idBytes('2c4e28ba-2fa1-4c3d-9f3b-0a1b2c3d4e5e')
    for (const position of [0, 1, 2 ** 32, 2 ** 48 - 1, ...Array.from({ length: 50 }, () => random.int(0, 2 ** 47))]) {
      const record = encodeRecord('s', { clientId: false, type: 'T', data: random.bytes(20) })
      for (const place of [random.int(0, 2 ** 47), position]) {
        // The record may have been sealed for another position by a commit that failed.
        const bytes = sealRecord(record, positionKey(place), { number: 3, created: 1e12 }, LOG)
        const { id, idText } = new StoredRecord(place, bytes)
        t.ok(isIntact(place, bytes))
        t.match(idText, /^[0-9a-f]{8}-[0-9a-f]{4}-8c3d-9f3b-0a1b2c3d4e5f$/)
        t.equal(positionOfId(id, LOG), place)
        t.equal(positionOfId(id, other), undefined, 'it is not an id of another log')
      }
    }
    t.equal(
      positionOfId(idBytes('5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11'), LOG),
      undefined,
      'an id of a client contains no position'
    )
  }
)

t.test('a removed record keeps its position, its stream and its number, and no content', async (t) => {
  const bytes = removedRecord(positionKey(9), { stream: 's', number: 4, created: 5 })
  t.ok(isIntact(9, bytes))
  t.match(new StoredRecord(9, bytes), { removed: true, stream: 's', number: 4, created: 5, type: '' })
})

t.test('a removed record can keep the hash of the erased record, which is never shown as data', async (t) => {
  const hash = Buffer.alloc(32, 0xab)
  const bytes = removedRecord(positionKey(9), { stream: 's', number: 4, created: 5 }, hash)
  t.ok(isIntact(9, bytes))
  const record = new StoredRecord(9, bytes)
  t.match(record.mark, { version: 1, kind: 'removed', hash: 'ab'.repeat(32) })
  t.match(record, { removed: true, stream: 's', number: 4, created: 5, type: '' })
  t.same(
    [record.data, record.dataBytes, record.metadata, record.contentType],
    [undefined, undefined, undefined, undefined]
  )
  t.equal(
    new StoredRecord(9, removedRecord(positionKey(9), { stream: 's', number: 4, created: 5 })).mark.hash,
    undefined
  )
  t.throws(() => removedRecord(positionKey(9), { stream: 's', number: 4, created: 5 }, hash.subarray(1)), RangeError)
})

t.test('heads and blocks of posting lists encode positions up to 2^48', async (t) => {
  const random = seeded(t)
  for (let i = 0; i < 300; i++) {
    const positions = rising(random, 64)
    t.same(decodeBlock(encodeBlock(positions)), positions)
    const count = random.int(1, 1e6)
    const version = random.int(1, 255)
    const head = { id: random.int(0, 2 ** 47), count, updated: 1.7e12, tail: rising(random, count % 64), version }
    t.same(decodeHead(encodeHead(head, version)), head)
  }
})

t.test('the checksum of an index entry detects a changed value and a wrong key', async (t) => {
  const sealed = sealEntry(Buffer.from('key'), Buffer.from('value'))
  t.same(openEntry(Buffer.from('key'), sealed), Buffer.from('value'))
  t.throws(() => openEntry(Buffer.from('kez'), sealed), { code: 'index-damaged' })
  for (let i = 0; i < sealed.length; i++) {
    const copy = Buffer.from(sealed)
    copy[i] = (copy[i] as number) ^ 4
    t.throws(() => openEntry(Buffer.from('key'), copy), { code: 'index-damaged' })
  }
})

function rising(random: Random, count: number): number[] {
  let at = random.int(0, 2 ** 47)
  return Array.from({ length: count }, () => (at += random.pick([1, 1, 2, 127, 128, 20_000, 2 ** 30])))
}

function text(random: Random, least: number, most: number): string {
  return Array.from({ length: random.int(least, most) }, () => random.pick([...'abcAZ09-./%$ äß漢😀'])).join('')
}
