/** The lines of work that `npm run bench` knows. */
import { accessWorks, benchAccess } from './access.js'
import { appendWork, benchAppend } from './append.js'
import { batchWork, benchBatches } from './batches.js'
import { benchConditional, conditionalWork } from './conditional.js'
import { benchDisk } from './disk.js'
import { benchHostile } from './hostile.js'
import { benchIds, idWorks } from './ids.js'
import { benchIndexes, indexWorks } from './indexes.js'
import { benchLargeStore, largeWork } from './large-store.js'
import { benchLiveAppend, liveAppendWork } from './live-append.js'
import { benchLiveCatchUp, catchUpWorks } from './live-catchup.js'
import { benchLiveFanout, fanoutWorks } from './live-fanout.js'
import { benchLiveLatency, liveLatencyWork } from './live-latency.js'
import { benchLiveMemory } from './live-memory.js'
import { benchManyStreams, manyStreamsWorks } from './many-streams.js'
import { benchMemory } from './memory.js'
import { benchNdjson, ndjsonWork } from './ndjson.js'
import { benchNewStreams, newStreamWorks } from './new-streams.js'
import { benchOpening, openingWork } from './opening.js'
import { atomWork, benchAtom, benchEvent, benchPage, eventWorks, pageWorks } from './pages.js'
import type { Report } from './support/report.js'
import type { Scale } from './support/scale.js'
import type { Start, Work } from './support/work.js'

export interface Line {
  readonly what: string
  /** Measures the line beside its limits. */
  readonly run: (report: Report, scale: Scale) => Promise<void>
  /** The work that `--against` gives to two builds. Absent if the line is not measured by rate. */
  readonly works?: (scale: Scale) => readonly (Work | Start)[]
  /** True if the line takes long and runs only when it is named. */
  readonly byName?: true
}

export const lines: Readonly<Record<string, Line>> = {
  append: {
    what: 'durable single-event appends, 64 connections',
    run: benchAppend,
    works: () => [appendWork()]
  },
  batches: { what: 'batches of 500 events a POST', run: benchBatches, works: () => [batchWork()] },
  ids: { what: 'appends whose events bring ids, against the same without', run: benchIds, works: idWorks },
  'new-streams': {
    what: 'appends that each begin a stream, against known streams',
    run: benchNewStreams,
    works: newStreamWorks
  },
  event: { what: 'one event by number', run: benchEvent, works: eventWorks },
  page: { what: 'pages of 20 events, hot and at random', run: benchPage, works: pageWorks },
  atom: {
    what: 'Atom pages of 20 events with their data, against native ones',
    run: benchAtom,
    works: () => [atomWork()]
  },
  indexes: {
    what: 'appends with all index streams and with none; pages of a category',
    run: benchIndexes,
    works: indexWorks
  },
  conditional: {
    what: 'appends under failIfEventsMatch, 1,000,000 events in the log',
    run: benchConditional,
    works: (scale) => [conditionalWork(scale)]
  },
  access: { what: 'what authentication and access rules cost', run: benchAccess, works: accessWorks },
  ndjson: { what: 'NDJSON of 200,000 events', run: benchNdjson, works: () => [ndjsonWork()] },
  large: {
    what: 'batches on a large store, against an empty one',
    run: benchLargeStore,
    works: (scale) => [largeWork(scale)]
  },
  opening: { what: 'opening after kill -9', run: benchOpening, works: (scale) => [openingWork(scale)] },
  memory: { what: 'memory: idle, streaming, appending', run: benchMemory },
  disk: { what: 'bytes on disk and table bytes written', run: benchDisk },
  'live-latency': {
    what: 'from an append to its event over WebSocket',
    run: benchLiveLatency,
    works: () => [liveLatencyWork()]
  },
  'live-catchup': { what: 'a long log over one WebSocket', run: benchLiveCatchUp, works: catchUpWorks },
  'live-fanout': { what: 'one stream to 1,000 subscribers', run: benchLiveFanout, works: fanoutWorks },
  'live-append': {
    what: 'appends beside 100 subscribers on other streams',
    run: benchLiveAppend,
    works: () => [liveAppendWork()]
  },
  'live-memory': { what: 'memory: 1,000 idle subscriptions, one that reads nothing', run: benchLiveMemory },
  'many-streams': {
    what: '10,000,000 streams of one event (only by name: it takes long)',
    run: benchManyStreams,
    works: manyStreamsWorks,
    byName: true
  },
  hostile: {
    what: 'memory and waits under hostile loads (only by name; --load, --memory)',
    run: benchHostile,
    byName: true
  }
}
