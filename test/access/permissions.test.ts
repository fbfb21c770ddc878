/** The rules of access (reference 14.2 to 14.4) as a table. The rules are pure, so each row is a complete case. */
import t from 'tap'
import {
  type AccessSettings,
  type Action,
  NOBODY,
  type Principal,
  permits,
  readSettings,
  rightFor
} from '../../src/access/permissions.js'
import type { Acl } from '../../src/streams/acl.js'

const known = (login: string, groups: string[] = [], more: Partial<Principal> = {}): Principal => {
  return { login, groups, by: 'password', ...more }
}
const people = {
  nobody: NOBODY,
  ann: known('ann'),
  bob: known('bob', ['sales']),
  ops: known('ops', ['$ops']),
  admin: known('admin', ['$admins']),
  root: known('root', ['$admins'])
}
type Person = keyof typeof people

const defaults = readSettings(undefined, false)
const open = readSettings(undefined, true)
const everybody: Person[] = ['ann', 'bob', 'ops', 'admin', 'root']
const administrators: Person[] = ['admin', 'root']

function may(stream: string, action: Action, acl: Acl | undefined, settings: AccessSettings): Person[] {
  const right = rightFor(action, stream)
  return (Object.keys(people) as Person[]).filter((name) => permits(people[name], right, acl, settings))
}

t.test('the stream rule decides first, then the settings, then the default', async (t) => {
  const settings = (data: object) => readSettings(Buffer.from(JSON.stringify(data)), false)
  const rows: [what: string, stream: string, action: Action, acl: Acl | undefined, AccessSettings, Person[]][] = [
    ['a user stream by default', 's', 'read', undefined, defaults, everybody],
    ['… and without an account', 's', 'write', undefined, open, ['nobody', ...everybody]],
    ['a system stream by default', '$s', 'read', undefined, open, administrators],
    ['a login', 's', 'read', { $r: 'ann' }, open, ['ann', ...administrators]],
    ['logins', 's', 'write', { $w: ['ann', 'bob'] }, defaults, ['ann', 'bob', ...administrators]],
    ['a group', 's', 'delete', { $d: 'sales' }, defaults, ['bob', ...administrators]],
    ['nobody', 's', 'read', { $r: [] }, open, administrators],
    ['every account', 's', 'read', { $r: '$all' }, defaults, everybody],
    ['a rule for another right', 's', 'write', { $r: 'ann' }, defaults, everybody],
    ['a system stream readable for $all needs an account', '$s', 'read', { $r: '$all' }, open, everybody],
    ['metadata with its own right', 's', 'readMetadata', { $r: 'bob', $mr: 'ann' }, defaults, ['ann', ...administrators]],
    ['metadata without its own right follows the right to read', 's', 'readMetadata', { $r: ['ann', 'sales'] }, open, ['ann', 'bob', ...administrators]],
    ['… also by its metastream', '$$s', 'read', { $r: 'ann' }, open, ['ann', ...administrators]],
    ['… if nobody may read', 's', 'readMetadata', { $r: [] }, open, administrators],
    ['… if everybody may read', 's', 'readMetadata', { $r: '$all', $w: 'ann' }, open, ['nobody', ...everybody]],
    ['… if everybody may read by default', 's', 'readMetadata', { $w: 'ann' }, open, ['nobody', ...everybody]],
    ['metadata opened by the rule', 's', 'readMetadata', { $r: 'ann', $mr: '$all' }, open, ['nobody', ...everybody]],
    ['metadata follows the right to read in the settings', 's', 'readMetadata', undefined, settings({ $userStreamAcl: { $r: 'sales' } }), ['bob', ...administrators]],
    ['… unless they have a right to metadata', 's', 'readMetadata', undefined, settings({ $userStreamAcl: { $r: 'sales', $mr: '$all' } }), everybody],
    ['a right to metadata in the settings does not open a rule with readers', 's', 'readMetadata', { $r: 'ann' }, settings({ $userStreamAcl: { $mr: '$all' } }), ['ann', ...administrators]],
    ['… but narrows it', 's', 'readMetadata', { $r: ['ann', 'bob'] }, settings({ $userStreamAcl: { $mr: 'sales' } }), ['bob', ...administrators]],
    ['the right to read a system stream does not include its metadata', '$s', 'readMetadata', { $r: 'ann' }, open, administrators],
    ['… also in the settings', '$s', 'readMetadata', undefined, settings({ $systemStreamAcl: { $r: '$ops' } }), administrators],
    ['reading a metastream needs the right to metadata', '$$s', 'read', { $mr: 'ann' }, defaults, ['ann', ...administrators]],
    ['writing a metastream needs the right to write metadata', '$$s', 'write', { $mw: 'bob' }, defaults, ['bob', ...administrators]],
    ['metadata of a system stream', '$$$s', 'read', undefined, open, administrators],
    ['the settings for user streams', 's', 'read', undefined, settings({ $userStreamAcl: { $r: 'sales' } }), ['bob', ...administrators]],
    ['… do not apply to system streams', '$s', 'read', undefined, settings({ $userStreamAcl: { $r: 'sales' } }), administrators],
    ['the settings for system streams', '$s', 'read', undefined, settings({ $systemStreamAcl: { $r: '$ops' } }), ['ops', ...administrators]],
    ['a stream rule overrides the settings', 's', 'read', { $r: 'ann' }, settings({ $userStreamAcl: { $r: 'bob' } }), ['ann', ...administrators]],
    ['settings with an invalid right', 's', 'read', undefined, settings({ $userStreamAcl: { $r: 7 } }), administrators],
    ['… also close the rights that they do not name', 's', 'write', undefined, settings({ $userStreamAcl: { $r: 7 } }), administrators],
    ['… but their valid rights count', 's', 'write', undefined, settings({ $userStreamAcl: { $r: 7, $w: 'ann' } }), ['ann', ...administrators]],
    ['settings with an unknown member', 's', 'read', undefined, settings({ $userStreamACL: { $r: 'bob' } }), administrators],
    ['settings with an unknown right', 's', 'read', undefined, settings({ $userStreamAcl: { $x: 'bob' } }), administrators],
    ['settings that are not an object', 's', 'read', undefined, settings([1]), administrators],
    ['settings that are not JSON', 's', 'read', undefined, readSettings(Buffer.alloc(0), false), administrators]
  ] // biome-ignore format: a table
  for (const [what, stream, action, acl, given, wanted] of rows) t.same(may(stream, action, acl, given), wanted, what)
})

t.test('a scope removes rights and never adds any', async (t) => {
  const scoped = (read: string[], write: string[], of: Principal = people.admin): Principal => ({
    ...of,
    scope: { read, write }
  })
  const can = (who: Principal, action: Action, stream: string, acl?: Acl) =>
    permits(who, rightFor(action, stream), acl, defaults)
  t.ok(can(scoped(['cart-*'], []), 'read', 'cart-1'))
  t.ok(can(scoped(['cart-*'], []), 'read', '$$cart-1'), 'the scope includes metadata')
  t.notOk(can(scoped(['cart-*'], []), 'read', 'car'))
  t.notOk(can(scoped(['cart-1'], []), 'read', 'cart-11'), 'a name without a star covers one stream only')
  t.notOk(can(scoped(['cart-*'], []), 'write', 'cart-1'))
  t.ok(can(scoped([], ['*']), 'delete', 'cart-1'))
  t.notOk(can(scoped(['*'], ['*']), 'read', '$users'), 'a star alone does not cover system streams')
  t.ok(can(scoped(['$*'], []), 'read', '$users'))
  t.notOk(can(scoped(['$*'], [], people.ann), 'read', '$users'), 'the account has no right')
  t.notOk(can(scoped(['*'], [], people.ann), 'read', 's', { $r: 'bob' }))
})

t.test('names of inherited object members are not roles', async (t) => {
  const acl = JSON.parse('{"__proto__":{"$r":"ann"},"$w":"ann"}') as Acl
  t.same(may('$s', 'read', acl, defaults), administrators)
  t.same(may('s', 'read', { $r: 'constructor' }, defaults), administrators)
  t.notOk(permits(known('toString'), rightFor('read', '$s'), {}, defaults))
})
