// Behind a tile of a product of which nothing more is asked. Another end is moments.wgsl.

fn close_tile(task: Task, own: Own) {}
