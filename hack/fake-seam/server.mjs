// Starts Seam's official fake for tests and the demo, on loopback alone, and seeds it as its own `--seed` does.
//
//   PORT=0 node server.mjs     prints one line, {"url":"http://127.0.0.1:NNNN"}, when it is ready
//
// It ends on SIGTERM and SIGINT, and when its standard input closes: whoever started it need only hold a pipe to it, and
// nothing is left behind even if that process is killed.
//
// The fake can't be told to make a session that expires soon, or to extend one, as a session's owner does at Seam. These
// routes, which Seam has not, can:
//
//   GET    /_test/client_sessions         every session: {"client_sessions": [...]}
//   POST   /_test/client_sessions         adds a session, or changes the one whose client_session_id is given; the body
//                                         holds the fields to set, as Seam names them, null removes one;
//                                         expires_in_seconds (may be negative) sets expires_at from now;
//                                         answers {"client_session": {...}}
//   DELETE /_test/client_sessions/<id>    with the event client_session.deleted, as at Seam; 404 if there is none
//
// With GRANTS_SECONDS in its environment it also answers two routes as Seam documents them, with an API key alone, which the fake
// lacks or does otherwise; a session then lives for so long at most:
//
//   POST   /client_sessions/get_or_create by user_identifier_key: makes a session or extends the one that there is
//   POST   /client_sessions/delete        by client_session_id
//
// A new session is of workspace seed_workspace_1, expires in a year and has a token of its own unless the body says
// otherwise. The fake takes a credential for a client session's token only if it begins with seam_cst1. Everything else
// is the fake's own, e.g. POST /_fake/simulate_workspace_outage.
import { Server } from 'node:http'
import { json } from 'node:stream/consumers'
import { createFake } from '@seamapi/fake-seam-connect'

// The fake listens on every interface and has no option for another.
const { listen } = Server.prototype
Server.prototype.listen = function (port, done) {
  return listen.call(this, { port, host: '127.0.0.1' }, done)
}

const fake = await createFake()
await fake.seed()
const { server } = await fake.startServer({ port: Number(process.env.PORT ?? 0) })
const { database } = fake

function upsertSession({ expires_in_seconds, ...fields }) {
  if (expires_in_seconds !== undefined) {
    fields.expires_at = new Date(Date.now() + expires_in_seconds * 1000).toISOString()
  }
  const sessions = database.client_sessions
  const id = fields.client_session_id
  const existing =
    sessions.find((session) => session.client_session_id === id) ??
    database.addClientSession({ workspace_id: 'seed_workspace_1', ...fields })
  const session = Object.fromEntries(
    Object.entries({ ...existing, ...fields }).filter(([, value]) => value !== null),
  )
  const others = database.client_sessions
  database.setState({ client_sessions: others.map((other) => (other === existing ? session : other)) })
  return session
}

function deleteSession(id) {
  const sessions = database.client_sessions
  const session = sessions.find((session) => session.client_session_id === id)
  if (session === undefined) return false
  database.setState({ client_sessions: sessions.filter((other) => other !== session) })
  database.addEvent({ event_type: 'client_session.deleted', workspace_id: session.workspace_id, client_session_id: id })
  return true
}

async function control(req, res) {
  const answer = (status, body) => res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  const id = req.url.match(/^\/_test\/client_sessions(?:\/([^/]+))?$/)?.[1]
  const route = `${req.method} ${id === undefined ? req.url : '/_test/client_sessions/:id'}`
  try {
    switch (route) {
      case 'GET /_test/client_sessions':
        return answer(200, { client_sessions: database.client_sessions })
      case 'POST /_test/client_sessions':
        return answer(200, { client_session: upsertSession(await json(req)) })
      case 'DELETE /_test/client_sessions/:id':
        return answer(deleteSession(id) ? 200 : 404, {})
      default:
        return answer(404, { error: `no such control route: ${route}` })
    }
  } catch (error) {
    return answer(400, { error: error.message })
  }
}

const longestLife = Number(process.env.GRANTS_SECONDS ?? 0) * 1000

function getOrCreate({ user_identifier_key, expires_at, ...fields }, { workspace_id }) {
  const end = Math.min(Date.parse(expires_at), Date.now() + longestLife)
  if (!user_identifier_key || Number.isNaN(end)) {
    return [400, { error: { type: 'invalid_input', message: 'user_identifier_key and expires_at are needed here' }, ok: false }]
  }
  const existing = database.client_sessions.find((s) => s.user_identifier_key === user_identifier_key && s.workspace_id === workspace_id)
  const id = existing && { client_session_id: existing.client_session_id }
  const session = upsertSession({ ...id, workspace_id, user_identifier_key, ...fields, expires_at: new Date(end).toISOString() })
  return [200, { client_session: session, ok: true }]
}

function deleteOwn({ client_session_id }, { workspace_id }) {
  const own = database.client_sessions.some((s) => s.client_session_id === client_session_id && s.workspace_id === workspace_id)
  if (own && deleteSession(client_session_id)) return [200, { ok: true }]
  return [404, { error: { type: 'client_session_not_found', message: 'there is no such session' }, ok: false }]
}

const documented = { '/client_sessions/get_or_create': getOrCreate, '/client_sessions/delete': deleteOwn }

async function asDocumented(req, res) {
  const answer = (status, body) => res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  const key = database.api_keys.find(({ token }) => req.headers.authorization === `Bearer ${token}`)
  if (key === undefined) return answer(401, { error: { type: 'unauthorized', message: 'an API key is needed here' }, ok: false })
  try {
    return answer(...documented[req.url](await json(req), key))
  } catch {
    return answer(400, { error: { type: 'invalid_input', message: 'this is not JSON' }, ok: false })
  }
}

const [serveFake] = server.listeners('request')
server.removeAllListeners('request')
server.on('request', (req, res) => {
  if (req.url.startsWith('/_test/')) return control(req, res)
  if (longestLife > 0 && req.url in documented) return asDocumented(req, res)
  return serveFake(req, res)
})

const stop = () => process.exit(0)
process.on('SIGTERM', stop)
process.on('SIGINT', stop)
process.stdin.on('end', stop).on('error', stop).resume()
console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` }))
