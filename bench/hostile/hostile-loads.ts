/** Every hostile load, by name. */
import { costlyExpressions } from './costly-expressions.js'
import { heavyAppends } from './heavy-appends.js'
import { heldBodies } from './held-bodies.js'
import { heldPolls } from './held-polls.js'
import type { HostileLoad } from './hostile-load.js'
import { largeReads } from './large-reads.js'
import { streamedLines } from './streamed-lines.js'
import { unreadAnswers } from './unread-answers.js'

export const hostileLoads: Readonly<Record<string, HostileLoad>> = {
  ...largeReads,
  ...unreadAnswers,
  ...heldBodies,
  ...streamedLines,
  ...costlyExpressions,
  ...heldPolls,
  ...heavyAppends
}
