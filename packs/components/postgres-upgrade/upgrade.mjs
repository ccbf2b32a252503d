// Moves a PostgreSQL cluster to another major version: the old server is dumped, the new one is loaded.
//
//   node upgrade.mjs OLD_BIN NEW_BIN DATA PASSWORD_FILE [OPTION OF INITDB]...
//
// DATA holds a snapshot of the old cluster when this starts, and the new cluster when it ends with 0. Both servers listen on
// 127.0.0.1 at ports of their own for as long as this runs, and take the password of the file. The dump goes straight from one
// to the other, so it needs no room on the disk. OLD_BIN has postgres, pg_ctl, pg_dump, pg_dumpall and psql; NEW_BIN has
// initdb, postgres and pg_ctl. The user is `postgres`.
//
// The new server writes without syncing: whoever runs this makes DATA durable before it is used, and runs this again on a new
// snapshot after an interruption.

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { pipeline } from "node:stream/promises";

const [oldBin, newBin, data, passwordFile, ...initdbOptions] = process.argv.slice(2);
const oldData = path.join(data, ".old");
const newData = path.join(data, ".new");
const passFile = path.join(data, ".pgpass");
const exe = process.platform === "win32" ? ".exe" : "";
const env = { ...process.env, PGPASSFILE: passFile, PGUSER: "postgres", PGCLIENTENCODING: "UTF8" };

function say(text) {
  process.stdout.write(`${text}\n`);
}

function start(bin, name, args, stdio) {
  return spawn(path.join(bin, name + exe), args, { env, stdio, windowsHide: true });
}

async function end(child, name) {
  const [code, signal] = child.exitCode === null && child.signalCode === null
    ? await once(child, "exit")
    : [child.exitCode, child.signalCode];
  if (code !== 0) throw new Error(`${name} ended with ${signal ?? code}`);
}

async function run(bin, name, args) {
  await end(start(bin, name, args, ["ignore", "inherit", "inherit"]), name);
}

async function freePort() {
  const server = net.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** A server of a version, on a port that nobody else is told. */
async function serve(bin, dir, options) {
  const port = await freePort();
  const settings = ["listen_addresses=127.0.0.1", `port=${port}`, "unix_socket_directories=", "logging_collector=off", ...options];
  const args = ["-D", dir, ...settings.flatMap((setting) => ["-c", setting])];
  const child = start(bin, "postgres", args, ["ignore", "inherit", "inherit"]);
  const to = ["-X", "-q", "-h", "127.0.0.1", "-p", String(port), "-v", "ON_ERROR_STOP=1"];
  const patience = Date.now() + 120_000;
  for (;;) {
    const probe = start(oldBin, "psql", [...to, "-d", "postgres", "-c", "select 1"], "ignore");
    const [code] = await once(probe, "exit");
    if (code === 0) return { bin, dir, child, port, to };
    if (child.exitCode !== null) throw new Error(`the server on \`${dir}\` ended with ${child.exitCode}`);
    if (Date.now() > patience) throw new Error(`the server on \`${dir}\` does not answer`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function stop(server) {
  await run(server.bin, "pg_ctl", ["stop", "-s", "-w", "-m", "fast", "-D", server.dir]);
}

/** What a client writes. */
async function ask(name, server, args) {
  const child = start(oldBin, name, ["-h", "127.0.0.1", "-p", String(server.port), ...args], ["ignore", "pipe", "inherit"]);
  const parts = [];
  child.stdout.on("data", (part) => parts.push(part));
  await once(child, "close");
  await end(child, name);
  return Buffer.concat(parts).toString("utf8");
}

/** Feeds text, or what another program writes, to a database. */
async function load(server, database, source) {
  const psql = start(oldBin, "psql", [...server.to, "-o", path.join(data, ".said"), "-d", database], ["pipe", "inherit", "inherit"]);
  await pipeline(source, psql.stdin);
  await end(psql, "psql");
}

async function copyDatabase(from, to, name) {
  // The database of the first connection is there already; every other one is made with its own settings.
  const make = name === "postgres" ? [] : ["--create"];
  const dump = start(oldBin, "pg_dump", ["-h", "127.0.0.1", "-p", String(from.port), ...make, name], ["ignore", "pipe", "inherit"]);
  await Promise.all([load(to, "postgres", dump.stdout), end(dump, "pg_dump")]);
  await run(oldBin, "psql", [...to.to, "-d", name, "-c", "analyze"]);
}

/** Roles and tablespaces; the first user exists in every cluster. */
async function copyGlobals(from, to) {
  const globals = await ask("pg_dumpall", from, ["--globals-only"]);
  const lines = globals.split("\n").filter((line) => line !== "CREATE ROLE postgres;");
  await load(to, "postgres", [lines.join("\n")]);
}

function moveAll(from, to, but) {
  for (const name of fs.readdirSync(from)) {
    if (!but.includes(name)) fs.renameSync(path.join(from, name), path.join(to, name));
  }
}

function writePassFile() {
  const password = fs.readFileSync(passwordFile, "utf8").trim().replaceAll("\\", "\\\\").replaceAll(":", "\\:");
  fs.writeFileSync(passFile, `127.0.0.1:*:*:postgres:${password}\n`, { mode: 0o600 });
}

async function main() {
  fs.mkdirSync(oldData, { mode: 0o700 });
  moveAll(data, oldData, [".old"]);
  writePassFile();
  await run(newBin, "initdb", ["-D", newData, "-U", "postgres", `--pwfile=${passwordFile}`, "--no-sync", ...initdbOptions]);
  const from = await serve(oldBin, oldData, []);
  const to = await serve(newBin, newData, ["fsync=off"]);
  await copyGlobals(from, to);
  const names = await ask("psql", from, ["-X", "-A", "-t", "-d", "postgres", "-c", "select datname from pg_database where not datistemplate order by 1"]);
  for (const name of names.split("\n").filter((line) => line !== "")) {
    say(`database ${name}`);
    await copyDatabase(from, to, name);
  }
  await stop(to);
  await stop(from);
  fs.rmSync(oldData, { recursive: true });
  moveAll(newData, data, []);
  for (const name of [".new", ".pgpass", ".said"]) fs.rmSync(path.join(data, name), { recursive: true, force: true });
  say("the new cluster is complete");
}

main().catch((error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
