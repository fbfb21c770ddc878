/** Operations on /users: accounts and the commands on them. */
import { type TSchema, Type } from 'typebox'
import {
  ChangedUser,
  NewUser,
  PasswordChange,
  PasswordReset,
  UserAnswer,
  UserList,
  UserResult
} from '../accounts/users.js'
import { jsonContent, jsonResponse, problemResponses } from './responses.js'

const tags = ['users']
const params = Type.Object({
  login: Type.String({ description: 'Login of the account; `$current` is the account of the caller.' })
})
const result = jsonResponse('Done.', UserResult)

function listUsers(hide: boolean) {
  return {
    hide,
    operationId: 'listUsers',
    summary: 'List all accounts, ordered by login',
    tags,
    response: { 200: jsonResponse('Accounts.', UserList) }
  }
}

function createUser(hide: boolean) {
  return {
    hide,
    operationId: 'createUser',
    summary: 'Create an account',
    tags,
    body: { content: jsonContent(NewUser) },
    response: { 201: result, 409: result, ...problemResponses([400, 415, 503]) }
  }
}

/** A command on one account. @param body schema of the request body; undefined: no body */
function command(operationId: string, summary: string, body?: TSchema) {
  return {
    operationId,
    summary,
    tags,
    params,
    ...(body && { body: { content: jsonContent(body) } }),
    response: { 200: result, 404: result, ...problemResponses([400, 415]) }
  }
}

export const userOperations = {
  list: listUsers(false),
  create: createUser(false),
  /** The same as `list` and `create`, at the address with a trailing slash. */
  listWithSlash: listUsers(true),
  createWithSlash: createUser(true),
  get: {
    operationId: 'getUser',
    summary: 'Get one account',
    tags,
    params,
    response: { 200: jsonResponse('The account.', UserAnswer), 404: jsonResponse('No such account.', UserAnswer) }
  },
  update: {
    operationId: 'updateUser',
    summary: 'Replace name and groups of an account; a missing member becomes null',
    tags,
    params,
    body: { content: jsonContent(ChangedUser) },
    response: { 200: result, 404: result, ...problemResponses([400, 415]) }
  },
  remove: {
    operationId: 'deleteUser',
    summary: 'Delete an account',
    tags,
    params,
    response: { 200: result, 404: result }
  },
  enable: command('enableUser', 'Allow an account to sign in again'),
  disable: command('disableUser', 'Prevent an account from signing in'),
  resetPassword: command('resetPassword', 'Set a new password for an account', PasswordReset),
  changePassword: command('changePassword', "Change the caller's own password", PasswordChange)
}
