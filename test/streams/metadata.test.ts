/** Reading metadata (reference 11.1): invalid members never widen access. */
import t from 'tap'
import { CLOSED_ACL } from '../../src/streams/acl.js'
import {
  faultsOf,
  METADATA_TYPE,
  type Members,
  membersOfDocument,
  metadataRecord,
  readMetadata,
  type StreamMetadata,
  showsMore,
  withTruncateBefore
} from '../../src/streams/metadata.js'
import { type MetadataForm, slipsOf } from '../../src/streams/metadata-names.js'
import { findFault } from '../../src/writing/plan/event-faults.js'
import type { PlanningView } from '../../src/writing/plan/planning-view.js'

const read = (text: string) => readMetadata(Buffer.from(text))

t.test('valid members count beside invalid ones; an invalid rule closes the rights it does not state', async (t) => {
  const rows: [document: string, metadata: StreamMetadata][] = [
    ['{}', { deleted: false }],
    ['{"$acl":{"$r":["ann"]},"$maxCount":0}', { acl: { $r: ['ann'] }, deleted: false }],
    ['{"$acl":{"$r":["ann"]},"$tb":"9","$maxAge":5}', { acl: { $r: ['ann'] }, maxAge: 5000, deleted: false }],
    ['{"$acl":{"$r":7,"$w":"ann"},"$tb":3}', { acl: { ...CLOSED_ACL, $w: 'ann' }, truncateBefore: 3, deleted: false }],
    ['{"$acl":{"$r":["ann",7]}}', { acl: CLOSED_ACL, deleted: false }],
    ['{"$acl":{"$r":null}}', { acl: CLOSED_ACL, deleted: false }],
    ['{"$acl":{"$r":{"0":"ann"}}}', { acl: CLOSED_ACL, deleted: false }],
    ['{"$acl":{"$r":[["ann"]]}}', { acl: CLOSED_ACL, deleted: false }],
    ['{"$acl":{}}', { acl: {}, deleted: false }],
    ['{"$acl":{"$R":"ann"}}', { acl: CLOSED_ACL, deleted: false }],
    ['{"$acl":{"$r":"ann","read":"bob"}}', { acl: { ...CLOSED_ACL, $r: 'ann' }, deleted: false }],
    ['{"$acl":{"__proto__":{"$r":"bob"}}}', { acl: CLOSED_ACL, deleted: false }],
    ...['null', '"ann"', '["ann"]', '7', 'true'].map((acl): [string, StreamMetadata] => [
      `{"$acl":${acl},"$maxCount":2}`,
      { acl: CLOSED_ACL, maxCount: 2, deleted: false }
    ]),
    ['{"$acl":{"$r":"bob"},"$acl":{"$r":"ann"}}', { acl: { $r: 'ann' }, deleted: false }],
    ['{"$acl":{"$r":"bob","$r":"ann"}}', { acl: { $r: 'ann' }, deleted: false }],
    ['{"\\u0024acl":{"\\u0024r":"ann"}}', { acl: { $r: 'ann' }, deleted: false }],
    ['{"$tb":9223372036854775807}', { truncateBefore: 2 ** 63, deleted: true }],
    ['{"$tb":99999999999999999999}', { deleted: false }],
    ['{"$acl":{"$r":"ann"}', { acl: CLOSED_ACL, deleted: false }],
    ['{"$acl":{"$r":"ann"}} x', { acl: CLOSED_ACL, deleted: false }],
    ...['', 'null', '[]', '7', '"{}"', 'nonsense'].map((text): [string, StreamMetadata] => [
      text,
      { acl: CLOSED_ACL, deleted: false }
    ])
  ]
  for (const [document, metadata] of rows) t.same(read(document), metadata, document)
  t.same(readMetadata(undefined), { acl: CLOSED_ACL, deleted: false }, 'a document that is not JSON')
})

t.test('the limit of 2^63-1 for whole numbers is exact', async (t) => {
  const good = ['0', '9223372036854775807', '9223372036854775806', '9007199254740993', '1e3', '1.0']
  const bad = [
    '9223372036854775808',
    '9223372036854776000',
    '9.223372036854775807e18',
    '1e19',
    '-1',
    '0.5',
    '"1"',
    'null'
  ]
  for (const [numbers, wanted] of [
    [good, []],
    [bad, [{ member: '$tb', why: '"$tb" must be a whole number from 0 to 2^63-1.' }]]
  ] as const) {
    for (const number of numbers) t.same(faultsOf(Buffer.from(`{"$tb":${number}}`)), wanted, number)
  }
})

t.test('a new truncation keeps all other members byte for byte, and an invalid document stays closed', async (t) => {
  const truncated = (text: string) => withTruncateBefore(Buffer.from(text), 7).toString()
  t.equal(truncated('{"$tb":1,"n":1.50,"ä":"\\u00e4"}'), '{"n":1.50,"ä":"\\u00e4","$tb":7}')
  t.equal(truncated('{"$acl":7}'), '{"$acl":7,"$tb":7}')
  for (const text of ['[]', 'nonsense', '{"$acl":{"$r":"ann"}']) {
    t.same(read(truncated(text)), { acl: CLOSED_ACL, truncateBefore: 7, deleted: false }, text)
  }
  t.equal(withTruncateBefore(undefined, 7).toString(), '{"$tb":7}')
})

t.test('showsMore is true whenever an event may become visible', async (t) => {
  const documents = ['{}', '{"$tb":1}', '{"$tb":2}', '{"$maxCount":1}', '{"$maxCount":2}', '{"$maxAge":1}', '{"$maxAge":2}',
    '{"$tb":2,"$maxCount":1}', '{"$tb":1,"$maxAge":1}', '{"$tb":9223372036854775807}'] // biome-ignore format: a list
  /** Returns the visible numbers of three events, which are 2, 1 and 0 seconds old. */
  const seen = (text: string) => {
    const { maxCount = 3, maxAge = 9000, truncateBefore = 0 } = read(text)
    return [0, 1, 2].filter(
      (number) => number >= truncateBefore && number >= 3 - maxCount && 2000 - number * 1000 < maxAge
    )
  }
  let more = 0
  for (const one of documents) {
    for (const other of documents) {
      const shows = showsMore(read(one), read(other))
      const truth = seen(other).some((number) => !seen(one).includes(number))
      if (truth) t.ok(shows, `${one} → ${other}`)
      if (one === other || one === '{}') t.notOk(shows, `${one} → ${other}`)
      more += shows ? 1 : 0
    }
  }
  t.ok(more > 20)
})

t.test('names that differ slightly from a known name are refused; other names belong to the user', async (t) => {
  const meant = (form: MetadataForm, name: string) => {
    const members = membersOfDocument(Buffer.from(JSON.stringify({ [name]: 3 }))) as Members
    return /name "(.*)" instead/.exec(slipsOf(members, form)[0]?.why ?? '')?.[1]
  }
  const rows: [names: string[], readable: string, stored: string][] = [
    [['maxcount', 'max_count', 'max-count', 'MaxCount', 'MAX_COUNT', '$maxcount', 'maxCount$', 'maxCont', 'maxCounts',
      'maxConut', 'masCount', '$max_count', 'max.count'], 'maxCount', '$maxCount'],
    [['maxage', 'max_age', 'max-age', 'MaxAge', '$maxage', '$max_age', 'maxAg', 'maxAges', 'mxaAge', 'maxxAge'], 'maxAge', '$maxAge'],
    [['tb', 'TB', '$TB', 'truncatebefore', 'truncate_before', 'truncate-before', '$truncateBefore', 'TruncateBefore',
      'trunctateBefore', 'truncateBefor'], 'truncateBefore', '$tb'],
    [['cachecontrol', 'cache_control', 'Cache-Control', '$cache-control', 'cacheControll'], 'cacheControl', '$cacheControl'],
    [['Acl', 'ACL', '$ACL', '_acl'], 'acl', '$acl']
  ] // biome-ignore format: a table
  for (const [names, readable, stored] of rows) {
    for (const name of names) {
      t.equal(meant('readable', name), readable, `${name}, under readable names`)
      t.equal(meant('stored', name), stored, `${name}, in EventStoreDB's form`)
    }
    t.equal(meant('readable', readable), undefined, readable)
    t.equal(meant('readable', stored), readable, `${stored}, under readable names`)
    t.equal(meant('stored', stored), undefined, stored)
    t.equal(meant('stored', readable), stored, `${readable}, in EventStoreDB's form`)
  }
  const own = ['own', 'n', 'yes', 'colour', '$mine', 'manage', 'maxPage', 'maxAmount', 'count', 'age', 'max', 'access', 'tab', 'tbd', 'cache', 'owner', 'control',
    'maximumAge', 'retention', 'bcl', 'acls', 'read', 'write', 'x'.repeat(10_000)] // biome-ignore format: a list
  for (const name of own)
    for (const form of ['readable', 'stored'] as const) t.equal(meant(form, name), undefined, name)
})

t.test('rights in a rule must have the names of the form', async (t) => {
  const meant = (form: MetadataForm, name: string) => {
    const document = { [form === 'stored' ? '$acl' : 'acl']: { [name]: 'ann' } }
    const [slip] = slipsOf(membersOfDocument(Buffer.from(JSON.stringify(document))) as Members, form)
    return slip && [slip.member, /name "(.*)" instead/.exec(slip.why)?.[1]]
  }
  for (const [name, readable, stored] of [
    ['Read', 'read', '$r'],
    ['r', 'read', '$r'],
    ['$R', 'read', '$r'],
    ['readRoles', 'read', '$r'],
    ['wirte', 'write', '$w'],
    ['DELETE', 'delete', '$d'],
    ['metadata_read', 'metadataRead', '$mr'],
    ['metaRead', 'metadataRead', '$mr'],
    ['MR', 'metadataRead', '$mr'],
    ['metadatawrite', 'metadataWrite', '$mw'],
    ['metaWriteRoles', 'metadataWrite', '$mw']
  ] as const) {
    t.same(meant('readable', name), [`acl.${name}`, readable])
    t.same(meant('stored', name), [`$acl.${name}`, stored])
  }
  t.equal(meant('readable', 'metadataRead'), undefined)
  t.equal(meant('stored', '$mr'), undefined)
  t.same(meant('stored', 'metadataRead'), ['$acl.metadataRead', '$mr'])
  t.equal(meant('stored', 'own'), undefined)
})

t.test('a misspelt member that is already stored may stay unchanged', async (t) => {
  const members = (text: string) => membersOfDocument(Buffer.from(text)) as Members
  const standing = Buffer.from('{"maxcount":3,"$acl":{"Read":"ann"}}')
  t.same(slipsOf(members('{"maxcount":3,"$acl":{"Read":"ann"},"$tb":5}'), 'stored', standing), [])
  t.match(slipsOf(members('{"maxcount":4}'), 'stored', standing), [{ member: 'maxcount' }], 'with another value')
  t.match(slipsOf(members('{"max_count":3}'), 'stored', standing), [{ member: 'max_count' }], 'another name')
  t.match(slipsOf(members('{"$acl":{"Read":"bob"}}'), 'stored', standing), [{ member: '$acl.Read' }])
  const spaced = Buffer.from('{"$acl":{"Read":[ "ann" ]}}')
  t.same(slipsOf(members('{"$acl":{"Read":["ann"]}}'), 'stored', spaced), [], 'spaces do not matter')
})

t.test('retention on $all may stay unchanged, and cannot be added or changed', async (t) => {
  const standing = Buffer.from('{"$maxCount":3}')
  const state = { document: standing, metadata: readMetadata(standing) }
  const view = { state: () => state } as unknown as PlanningView
  const refused = (document: string) => {
    const record = metadataRecord('$all', Buffer.from(document))
    return findFault([{ stream: '$$$all', id: undefined, type: METADATA_TYPE, record }], false, view)?.details.member
  }
  t.equal(refused('{"$maxCount":3,"$acl":{"$r":"ann"}}'), undefined)
  t.equal(refused('{}'), undefined)
  t.equal(refused('{"$maxCount":4}'), '$maxCount')
  t.equal(refused('{"$maxCount":3,"$maxAge":5}'), '$maxAge')
})
