/** `npm run openapi`: regenerates openapi.yaml from the routes and their schemas. */
import { writeFileSync } from 'node:fs'
import { generateOpenApi, OPENAPI_PATH } from './openapi.js'

writeFileSync(OPENAPI_PATH, await generateOpenApi())
