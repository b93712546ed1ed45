// What others do with the same records. Every function that measures returns milliseconds.
import Dexie from "dexie";
import PouchDB from "pouchdb-browser";
import { createRxDatabase } from "rxdb/plugins/core";
import { replicateRxCollection } from "rxdb/plugins/replication";
import { getRxStorageDexie } from "rxdb/plugins/storage-dexie";
import { getRxStorageLocalstorage } from "rxdb/plugins/storage-localstorage";

const SCHEMA = {
  version: 0,
  primaryKey: "id",
  type: "object",
  properties: {
    id: { type: "string", maxLength: 100 },
    userId: { type: "string" },
    contentId: { type: "string" },
    contentType: { type: "string" },
    title: { type: "string" },
    progress: { type: "number" },
    duration: { type: "number" },
    completed: { type: "boolean" },
    watchedAt: { type: "string" },
  },
};

let count = 0;
const entry = () => {
  count += 1;
  return {
    id: `entry-${count}`,
    userId: "0f3c8f6e-6c5b-4f1c-9a52-0d3a7f6f2b11",
    contentId: `film-${count}`,
    contentType: "movie",
    title: `Film ${count}`,
    progress: 60 + count,
    duration: 7200,
    completed: false,
    watchedAt: new Date().toISOString(),
  };
};

const time = async (work) => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

const oneByOne = (number, write) =>
  time(async () => {
    for (let done = 0; done < number; done += 1) await write(entry());
  });

const opened = {};
const once = (name, open) => (opened[name] ??= open());

const dexie = () =>
  once("dexie", async () => {
    const database = new Dexie("peer-dexie");
    database.version(1).stores({ entries: "id" });
    return database.open();
  });

const pouch = () => once("pouch", async () => new PouchDB("peer-pouch"));

const STORAGES = { localstorage: getRxStorageLocalstorage, dexie: getRxStorageDexie };

const rx = (kind, name = "entries") =>
  once(`${kind}-${name}`, async () => {
    const database = await createRxDatabase({
      name: `peer-rx-${kind}-${name}`,
      storage: STORAGES[kind](),
      multiInstance: false,
    });
    const { entries } = await database.addCollections({ entries: { schema: SCHEMA } });
    return entries;
  });

globalThis.peers = {
  dexie: async (number) => {
    const { entries } = await dexie();
    return oneByOne(number, (data) => entries.put(data));
  },
  pouch: async (number) => {
    const database = await pouch();
    return oneByOne(number, ({ id, ...data }) => database.put({ _id: id, ...data }));
  },
  rxLocalstorage: async (number) => {
    const entries = await rx("localstorage");
    return oneByOne(number, (data) => entries.insert(data));
  },
  rxDexie: async (number) => {
    const entries = await rx("dexie");
    return oneByOne(number, (data) => entries.insert(data));
  },
  fillRxLocalstorage: async (number) => {
    const entries = await rx("localstorage");
    await entries.bulkInsert(Array.from({ length: number }, entry));
  },

  // Writes before, sends after: [milliseconds of the sending, requests].
  rxDrain: async (kind, name, number) => {
    const entries = await rx(kind, name);
    await oneByOne(number, (data) => entries.insert(data));
    let requests = 0;
    const milliseconds = await time(async () => {
      const replication = replicateRxCollection({
        collection: entries,
        replicationIdentifier: `drain-${name}`,
        live: false,
        push: {
          handler: async (rows) => {
            requests += 1;
            const headers = { "content-type": "application/json" };
            const reply = await fetch("/sink", { method: "POST", headers, body: JSON.stringify(rows) });
            return reply.json();
          },
        },
      });
      await replication.awaitInitialReplication();
    });
    // The next round needs the room.
    await entries.database.remove();
    return [milliseconds, requests];
  },
};
